"""Plays every case through real proxies in front of the gateway, which pass it on to the recorder.

Each proxy reads in its own way, and what it does not pass on is its own affair. What it does pass on must be as many requests
for it as for the gateway and the recorder.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import law, seen
from .cases import Case, Plan
from .client import Innocent, Outcome, play_through
from .grouping import by_case
from .law import Passed
from .report import Row
from .servers import BACKENDS, Server
from .system import running


def judge(ondol: Path, fronts: list[Server], plans: list[Plan]) -> list[Row]:
    """One row for each front."""
    recorder = [server for server in BACKENDS if server.name == "plain"]
    with running(ondol, recorder, fronts) as system:
        ports = [system.port(f"by-{front.name}") for front in fronts]
        with ThreadPoolExecutor(len(fronts)) as pool:
            played = list(pool.map(lambda front, port: _play(port, f"by-{front.name}", plans), fronts, ports))
        system.down()
        lines = by_case((line.path, line) for line in system.access())
        found = by_case((it.path, it) for it in seen.read(system.seen("plain")))
        rows = []
        for front, outcomes in zip(fronts, played, strict=True):
            row, prefix = Row(front.name), f"by-{front.name}"
            passed = by_case((_place(it), it) for it in _log(system.seen(prefix)))
            for case, outcome, wrong in outcomes:
                key = f"/{prefix}/{case.name}"
                there = (passed.get(key, []), outcome, lines.get(key, []), found.pop(key, []))
                refused = not any(line.status < 400 for line in lines.get(key, []))
                row.add(case.name, [*law.front_breaches(*there), *wrong], refused=refused, deviates=False)
            innocents = found.pop(f"/{prefix}/innocent", [])
            if len(innocents) != len(outcomes):
                row.breaches["innocent"] = [f"back end: {len(innocents)} requests of innocent clients, not {len(outcomes)}"]
            rows.append(row)
        for path, there_too in found.items():
            rows[0].breaches[path] = [f"back end: a request of no case: {there_too}"]
        return rows


def _play(port: int, prefix: str, plans: list[Plan]) -> list[tuple[Case, Outcome, list[str]]]:
    innocent, played = Innocent(port), []
    for plan in plans:
        case = plan.at(prefix)
        outcome = play_through(port, case)
        said = innocent.ask(f"/{prefix}/innocent/{plan.name}")
        played.append((case, outcome, [f"innocent client: {said}"] if said else []))
    innocent.end()
    return played


def _log(path: Path) -> Iterator[Passed]:
    """What a front passed on, by its log; what it answered itself is left out."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        said: dict[str, Any] = json.loads(text.replace("\\x", "\\u00"))  # Apache writes bytes so, which JSON does not know.
        if "resp_headers" in said:  # Caddy has a form of its own.
            fields = {name.lower(): values[0] for name, values in said["resp_headers"].items()}
            request = said["request"]
            yield from _passed(request["method"], request["uri"], fields.get("x-saw", ""), fields.get("proxy-status", ""))
        elif "method" in said:
            yield from _passed(said["method"], said["path"], said["saw"], said["own"])


def _passed(method: str, target: str, saw: str, own: str) -> Iterator[Passed]:
    saw, own = saw.removeprefix("-"), own.removeprefix("-")
    if saw or own:
        yield Passed(method, urlsplit(target).path if "://" in target else target, saw)


def _place(it: Passed) -> str:
    return it.saw.partition(" ")[2] or it.path
