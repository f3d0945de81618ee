"""The cases of `cases.json`: what is sent, and what a strict reader of RFC 9112 takes of it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .servers import HERE

_KEYS = {"case", "about", "send", "reads", "begun", "then"}
_THEN = re.compile("open|closed|either|gone|[45][0-9]{2}( open)?")
_SMUGGLED = "GET {P}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
_INNOCENT = "GET {P}/after HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """A request as a strict reader sees it."""

    method: str
    target: str
    body: bytes | None
    """`None`: not looked at, since it was answered before."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.split("?")[0]


@dataclass(frozen=True)
class Case:
    """A case for one server."""

    name: str
    about: str
    path: str
    """Its own; what it sends is below it."""
    send: bytes
    reads: tuple[Request, ...]
    begun: tuple[Request, ...]
    innocent: Request | None
    """The request behind the case; `None` where it must not be served."""
    innocent_may: bool
    """Whether it may also be left out."""
    refusal: int | None
    """The gateway's own last answer."""
    stays_open: bool
    client_ends: bool


@dataclass(frozen=True)
class Deviation:
    """How one server, and nobody else, takes a case whose bytes are legal; `deviations.json` says why."""

    answer: str
    """To the first request: `refused`, an error of the server itself; `silent`, none; empty: as it should be."""
    reads: tuple[Request, ...]
    """What it takes of the case; empty: as it should be."""


@dataclass(frozen=True)
class Plan:
    """A case as it is written, before it is known where it goes."""

    name: str
    about: str
    send: str
    reads: tuple[tuple[str, str, str | None], ...]
    begun: tuple[tuple[str, str], ...]
    then: str

    def at(self, prefix: str) -> Case:
        """The case for what is reached at this prefix, with paths that are its own."""
        path = f"/{prefix}/{self.name}"
        refusal = int(self.then[:3]) if self.then[0].isdigit() else None
        # An innocent request is always behind it; whether it is one is what this is about.
        behind = "" if self.then == "gone" else _INNOCENT
        served = self.then in ("open", "either") or self.then.endswith(" open")
        return Case(
            self.name,
            self.about,
            path,
            _bytes(self.send + behind, path),
            tuple(_request(path, *read) for read in self.reads),
            tuple(_request(path, *begun, None) for begun in self.begun),
            Request("GET", f"{path}/after", b"") if served else None,
            self.then == "either",
            refusal,
            served,
            self.then == "gone",
        )


def read(path: Path = HERE / "cases.json") -> list[Plan]:
    """All cases; raises `ValueError` for one that is written wrongly, since it would check nothing."""
    return [_plan(case) for case in json.loads(path.read_text(encoding="utf-8"))["cases"]]


def _plan(case: dict[str, Any]) -> Plan:
    then = case.get("then", "open")
    if unknown := set(case) - _KEYS:
        raise ValueError(f"{case.get('case')}: unknown {sorted(unknown)}")
    if not _THEN.fullmatch(then):
        raise ValueError(f"{case['case']}: `then` is {then!r}")
    reads = tuple((method, target, body) for method, target, body in case.get("reads", []))
    begun = tuple((method, target) for method, target in case.get("begun", []))
    return Plan(case["case"], case["about"], case["send"], reads, begun, then)


def deviations(server: str, path: Path = HERE / "deviations.json") -> dict[str, Deviation]:
    """How this server deviates, by case."""
    known: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["servers"].get(server, {})
    found = {}
    for case, said in known.items():
        if set(said) - {"why", "answer", "reads"} or not said["why"]:
            raise ValueError(f"{server} {case}: {said}")
        reads = tuple(_request(f"/{server}/{case}", *read) for read in said.get("reads", []))
        found[case] = Deviation(said.get("answer", ""), reads)
    return found


def _request(path: str, method: str, target: str, body: str | None) -> Request:
    return Request(method, _bytes(target, path).decode("latin-1"), None if body is None else _bytes(body, path))


def _bytes(text: str, path: str) -> bytes:
    """The text with its places filled in, each character a byte."""
    smuggled = _SMUGGLED.replace("{P}", path)
    text = re.sub(r"\{(\d+)\*([^{}]*)\}", lambda found: int(found[1]) * found[2], text)
    text = re.sub(r"\{S#\+?(\d*)\}", lambda found: str(len(smuggled) + int(found[1] or 0)), text)
    text = text.replace("{Sx}", f"{len(smuggled):x}").replace("{S}", smuggled).replace("{P}", path)
    return text.encode("latin-1")
