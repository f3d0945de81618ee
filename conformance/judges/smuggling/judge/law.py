"""The law: client, gateway and back end agree on how many requests there were, which, and where they ended.

Pure: what each of them saw goes in, what they disagree on comes out. Tests: `test_judge.py`, with a liar in each place.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .cases import Case, Deviation, Request
from .client import Answer, Outcome
from .seen import Seen
from .system import Line


@dataclass(frozen=True)
class _Due:
    """A request that reaches the back end, and whose answer the client gets."""

    request: Request
    sent: Request
    """As the gateway passed it on."""
    answer: str
    """`own`: the back end's; `refused`: an error of the back end itself; `silent`: none, so the gateway's 504."""

    def is_answered_by(self, answer: Answer) -> bool:
        if self.answer == "refused":
            return answer.status >= 400 and not answer.saw and not answer.own
        if self.answer == "silent":
            return answer == Answer(504, "", own=True)
        return answer == Answer(200, f"{self.request.method} {self.request.target}", own=False)


def breaches(
    case: Case, outcome: Outcome, lines: Sequence[Line], seen: Sequence[Seen], deviation: Deviation | None = None
) -> list[str]:
    """What the three disagree on, or do otherwise than a strict reader would; empty where all is well.

    `deviation`: how this back end, misreading legal bytes, may answer the case's first request instead.
    """
    innocent = case.innocent
    if innocent is not None and case.innocent_may and not any(it.path == innocent.path for it in lines):
        innocent = None
    reads = deviation.reads if deviation and deviation.reads else case.reads
    dues = [_Due(it, sent, "own") for it, sent in zip(reads, case.reads, strict=True)]
    if deviation and deviation.answer:
        dues[0] = _Due(reads[0], case.reads[0], deviation.answer)
    served = [*dues, *([_Due(innocent, innocent, "own")] if innocent else [])]
    return [
        *_client(case, dues, served, outcome),
        *_gateway(case, served, lines),
        *_back_end(case, served, seen),
        *(f"back end: it was sent what is not plain HTTP/1.1: {it.wrong}" for it in seen if it.wrong),
    ]


def _client(case: Case, dues: Sequence[_Due], served: Sequence[_Due], outcome: Outcome) -> list[str]:
    got = list(outcome.answers)
    found = []
    if case.refusal is not None:
        refusal = got.pop(len(dues)) if len(got) > len(dues) else None
        if refusal != Answer(case.refusal, "", own=True):
            found.append(f"client: not refused with {case.refusal}: {refusal}")
    # Whoever leaves is owed no answer, and may get one that says so.
    if case.client_ends:
        found += [f"client: answered {it}" for it in got if not it.own]
    elif len(got) != len(served) or not all(due.is_answered_by(it) for due, it in zip(served, got, strict=True)):
        found.append(f"client: answers: {got} for {served}")
    if outcome.wrong:
        found.append(f"client: {outcome.wrong}")
    if not case.client_ends and not case.innocent_may and outcome.ended == case.stays_open:
        found.append(f"client: the connection {'ended' if outcome.ended else 'went on'}")
    return found


def _gateway(case: Case, served: Sequence[_Due], lines: Sequence[Line]) -> list[str]:
    """A refused head has no line; a request that was taken back has one, and is no success."""
    begun = {(it.method, it.path) for it in case.begun}
    # A service that cannot be reached through a route has no attempts.
    passed = [it for it in lines if it.attempts > 0 and ((it.method, it.path) not in begun or it.status < 400)]
    expected = [(it.sent.method, it.sent.path, it.answer == "own") for it in served]
    found = _differ("gateway: requests passed on", expected, [(it.method, it.path, it.status < 400) for it in passed])
    # Whoever sends a body may have sent its effect: only what is safe is tried again.
    unsafe = [it for it in lines if it.attempts > 1 and it.method not in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")]
    return found + [f"gateway: tried again: {it}" for it in unsafe]


def _back_end(case: Case, served: Sequence[_Due], seen: Sequence[Seen]) -> list[str]:
    expected = [_as_seen(it.request) for it in served if it.answer == "own"]
    got = [(it.method, it.path, *((None, None) if _early(it.path) else (it.length, it.sha256))) for it in seen if it.whole]
    found = _differ("back end: requests seen", expected, got)
    begun = {(it.method, it.target) for it in case.begun}
    cut = [it for it in seen if not it.whole and (it.method, it.path) not in begun]
    return found + [f"back end: began {it.method} {it.path}" for it in cut]


def _as_seen(request: Request) -> tuple[str, str, int | None, str | None]:
    body = None if _early(request.target) else request.body
    seen = Seen.of(request.method, request.target, body, whole=True)
    return seen.method, seen.path, seen.length, seen.sha256


def _early(target: str) -> bool:
    """Back ends that cannot answer early look at the body all the same."""
    return "/unread" in target


def _differ(what: str, expected: Sequence[object], got: Sequence[object]) -> list[str]:
    return [] if list(expected) == list(got) else [f"{what}: {got} instead of {expected}"]


@dataclass(frozen=True)
class Passed:
    """A request that a proxy in front passed on, by its own log."""

    method: str
    path: str
    saw: str
    """What the back end said that it saw; empty where the gateway answered."""


def front_breaches(passed: Sequence[Passed], outcome: Outcome, lines: Sequence[Line], seen: Sequence[Seen]) -> list[str]:
    """The same behind a proxy, which reads in its own way: what it says that it passed on counts.

    What the gateway refuses by its head has no line in its log, and so what it answered itself is left out on both sides.
    """
    by_front = Counter(it.saw.split("?")[0] for it in passed if it.saw)
    by_gateway = Counter(f"{it.method} {it.path}" for it in lines if it.status < 400)
    by_back_end = Counter(f"{it.method} {it.path.split('?')[0]}" for it in seen if it.whole)
    found = []
    if by_front != by_gateway:
        found.append(f"front was answered {dict(by_front)}, gateway logged {dict(by_gateway)}")
    if by_gateway != by_back_end:
        found.append(f"gateway logged {dict(by_gateway)}, back end saw {dict(by_back_end)}")
    # Paths are made canonical on the way, methods are not.
    differing = [it for it in passed if it.saw and it.saw.split(" ")[0] != it.method]
    found += [f"front took {it.method} {it.path} for what was {it.saw}" for it in differing]
    answered = [it.saw for it in outcome.answers if it.saw]
    in_order = [f"{it.method} {it.path}" for it in seen if it.whole]
    if answered != in_order[: len(answered)]:
        found.append(f"client was answered {answered}, back end saw {in_order}")
    found += [f"client: {outcome.wrong}" for _ in [0] if outcome.wrong.startswith("an answer that is none")]
    found += [f"back end: it was sent what is not plain HTTP/1.1: {it.wrong}" for it in seen if it.wrong]
    return found
