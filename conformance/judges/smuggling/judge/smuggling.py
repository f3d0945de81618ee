"""Plays every case against every back end, and gives what was seen of it to the law."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import law, seen
from .cases import Case, Plan, deviations
from .client import Innocent, Outcome, play
from .grouping import by_case
from .report import Row
from .servers import Server
from .system import Line, running

#: Innocent clients beside each back end: enough that every worker of the gateway has one.
_INNOCENTS = 4


def judge(ondol: Path, backends: list[Server], plans: list[Plan]) -> list[Row]:
    """One row for each back end."""
    with running(ondol, backends, []) as system:
        with ThreadPoolExecutor(len(backends)) as pool:
            played = list(pool.map(lambda server: _play(system.gateway, server.name, plans), backends))
        system.down()
        lines = by_case((line.path, line) for line in system.access())
        rows = []
        for server, (outcomes, wrong) in zip(backends, played, strict=True):
            found = by_case((it.path, it) for it in seen.read(system.seen(server.name)))
            rows.append(_row(server.name, outcomes, wrong, lines, found))
    return rows


def _play(port: int, prefix: str, plans: list[Plan]) -> tuple[list[tuple[Case, Outcome]], dict[str, list[str]]]:
    """Each case, and behind each a request of the innocent, in turn; what was wrong with those, by case."""
    innocents = [Innocent(port) for _ in range(_INNOCENTS)]
    outcomes, wrong = [], defaultdict[str, list[str]](list)
    for n, plan in enumerate(plans):
        case = plan.at(prefix)
        outcomes.append((case, play(port, case)))
        for turn in range(2):
            innocent = innocents[(2 * n + turn) % _INNOCENTS]
            if said := innocent.ask(f"/{prefix}/innocent/{plan.name}/{turn}"):
                wrong[plan.name].append(f"innocent client: {said}")
    for innocent in innocents:
        innocent.end()
    return outcomes, wrong


def _row(
    name: str,
    outcomes: list[tuple[Case, Outcome]],
    wrong: dict[str, list[str]],
    lines: dict[str, list[Line]],
    found: dict[str, list[seen.Seen]],
) -> Row:
    row, known = Row(name), deviations(name)
    for case, outcome in outcomes:
        key = f"/{name}/{case.name}"
        there = (case, outcome, lines.get(key, []), found.pop(key, []))
        said, of_others = law.breaches(*there), wrong.get(case.name, [])
        deviates = bool(said) and case.name in known and not law.breaches(*there, known[case.name])
        row.add(case.name, [*([] if deviates else said), *of_others], refused=case.refusal is not None, deviates=deviates)
        row.again += sum(line.attempts > 1 for line in lines.get(key, []))
    innocents = found.pop(f"/{name}/innocent", [])
    if len(innocents) != 2 * len(outcomes):
        row.breaches["innocent"] = [f"back end: {len(innocents)} requests of innocent clients instead of {2 * len(outcomes)}"]
    # A server that logs what it could not read says so of its own refusals, and must not of anything else.
    unreadable = found.pop("", [])
    if len(unreadable) > row.deviated:
        row.breaches["unreadable"] = [f"back end: could not read {len(unreadable)} requests, and refused {row.deviated}"]
    for path, there_too in found.items():
        row.breaches[path] = [f"back end: a request of no case: {there_too}"]
    return row
