"""What came of a case, and how it is shown: subjects down, ways across."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Lines of what is wrong, for each judge.
SHOWN = 40


class Skipped(Exception):
    """A judge that cannot sit here; its words say what is missing."""


class Wrong(Exception):
    """A case does not hold; its words say how."""


@dataclass(frozen=True)
class Outcome:
    """One case of a subject on one way to the server. No error: it holds."""

    subject: str
    case: str
    way: str
    error: str | None = None


def held(subject: str, case: str, way: str, run: Callable[[], object]) -> Outcome:
    """Runs a case; whatever it raises is what is wrong."""
    try:
        run()
    except Exception as error:
        return Outcome(subject, case, way, f"{type(error).__name__}: {error}")
    return Outcome(subject, case, way)


def same(found: object, wanted: object, what: str) -> None:
    """Raises `Wrong` unless both are equal. Long ones are cut."""
    if found != wanted:
        raise Wrong(f"{what}: {str(found)[:300]!r} instead of {str(wanted)[:300]!r}")


def table(outcomes: Sequence[Outcome]) -> str:
    """How many cases held of how many, and below it what was wrong."""
    ways = list(dict.fromkeys(outcome.way for outcome in outcomes))
    subjects = list(dict.fromkeys(outcome.subject for outcome in outcomes))
    first = max(len(subject) for subject in subjects)
    width = max(9, *(len(way) for way in ways))
    lines = ["  ".join([" " * first, *(way.rjust(width) for way in ways)])]
    for subject in subjects:
        cells = [_cell([one for one in outcomes if (one.subject, one.way) == (subject, way)]) for way in ways]
        lines.append("  ".join([subject.ljust(first), *(cell.rjust(width) for cell in cells)]).rstrip())
    wrong = [f"WRONG {one.subject}, {one.case}, {one.way}: {one.error}" for one in outcomes if one.error is not None]
    more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
    return "\n".join([*lines, *wrong[:SHOWN], *more])


def _cell(outcomes: Sequence[Outcome]) -> str:
    held = sum(outcome.error is None for outcome in outcomes)
    return f"{held} of {len(outcomes)}" if outcomes else ""
