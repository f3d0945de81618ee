"""Slow clients, by slowhttptest: others are answered meanwhile, and who sends too slowly is shown out in time.

docs/concepts/limits.md: a head has 10 s, a body 240 bytes a second from the tenth second on, and a reader 30 s for each 64 KiB.
"""

import csv
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from .client import Innocent
from .report import Row
from .servers import BACKENDS
from .system import running

#: What slowhttptest says when it ends before its time.
_ALL_ENDED = "No open connections left"


@dataclass(frozen=True)
class _Attack:
    name: str
    words: tuple[str, ...]
    path: str
    connections: int
    length: int
    """Seconds, before whose end all of its connections must be gone: the limit, and the rest for a busy machine."""


_ATTACKS = [
    # One more field, or a few bytes of body, every second.
    _Attack("slow heads", ("-H", "-i", "1"), "/plain/slow-heads", 200, length=18),
    _Attack("slow bodies", ("-B", "-i", "1", "-s", "8192", "-x", "10"), "/plain/slow-bodies", 200, length=18),
    # A window of next to nothing, of which 256 bytes a second are taken: the end is seen behind what is there, some 2 KiB. A
    # connection that is closed and not reset goes on with all that was written, far beyond this time.
    _Attack("slow readers", ("-X", "-w", "1", "-y", "2", "-n", "1", "-z", "256"), "/plain/large", 50, length=50),
]


def is_there() -> bool:
    """Whether there is the program that this is about."""
    return which("slowhttptest") is not None


def judge(ondol: Path) -> list[Row]:
    """One row for each kind of slowness; all run at once, as an attacker would."""
    recorder = [server for server in BACKENDS if server.name == "plain"]
    with running(ondol, recorder, [], timeout="15s") as system:
        attacks = [(attack, _start(attack, system.gateway, system.folder)) for attack in _ATTACKS]
        asked, wrong, slowest = _innocents(system.gateway, [process for _, process in attacks])
        rows = []
        for attack, process in attacks:
            said, _ = process.communicate()
            row = Row(attack.name)
            row.add(
                attack.name, [*_ended(attack, system.folder, process.returncode, said), *wrong], refused=False, deviates=False
            )
            rows.append(row)
    print(f"innocent clients meanwhile: {asked} requests, the slowest answered after {slowest * 1000:.0f} ms")
    return rows


def _start(attack: _Attack, port: int, folder: Path) -> "subprocess.Popen[str]":
    counts = ["-c", str(attack.connections), "-r", str(attack.connections), "-l", str(attack.length), "-p", "5"]
    out = ["-g", "-o", str(folder / attack.name.replace(" ", "-"))]
    url = f"http://127.0.0.1:{port}{attack.path}"
    words = ["slowhttptest", *attack.words, *counts, *out, "-u", url]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _innocents(port: int, attackers: list["subprocess.Popen[str]"]) -> tuple[int, list[str], float]:
    """Asks until the attackers have ended; how often, what was wrong, and the longest wait in seconds."""
    innocents, asked, wrong, slowest = [Innocent(port) for _ in range(4)], 0, list[str](), 0.0
    while any(attacker.poll() is None for attacker in attackers):
        for innocent in innocents:
            began = time.monotonic()
            if said := innocent.ask(f"/plain/innocent/{asked}"):
                wrong.append(f"innocent client: {said}")
            slowest = max(slowest, time.monotonic() - began)
            asked += 1
        time.sleep(0.02)
    return asked, wrong[:5], slowest


def _ended(attack: _Attack, folder: Path, code: int, said: str) -> list[str]:
    path = folder / f"{attack.name.replace(' ', '-')}.csv"
    if not path.is_file():
        return [f"slowhttptest ended with {code} and no figures: {said[-500:]}"]
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    if not rows:
        return [f"slowhttptest measured nothing: {said[-500:]}"]
    found = []
    if max(int(row["Connected"]) + int(row["Closed"]) for row in rows) < attack.connections:
        found.append(f"not all {attack.connections} connections were made: {rows[-1]}")
    if _ALL_ENDED not in said:
        found.append(f"not all were ended after {rows[-1]['Seconds']} s: {rows[-1]}; {said[-300:]}")
    return found
