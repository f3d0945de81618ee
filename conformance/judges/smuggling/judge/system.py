"""An Ondol system in a temporary folder: written, started, stopped, and its access log read."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .servers import HERE, Server

#: No service is given up, so that every case reaches it.
_SYSTEM = """\
system: judged
services: [services/*]
console: {{ bind: "127.0.0.1:{console}" }}
gateway: {{ listeners: {{ web: {{ bind: "127.0.0.1:{gateway}" }} }} }}
defaults: {{ timeout: {timeout}, breaker: {{ failures: 100 %, minimum: 1000000 }} }}
"""
_SERVICE = """\
service: {service}
dir: {here}
run: "'{python}' serve.py {kind} {name}"
env: {{ SEEN: "{seen}", PYTHONDONTWRITEBYTECODE: "1" }}
routes: {routes}
"""


@dataclass(frozen=True)
class Line:
    """A line of the access log."""

    method: str
    path: str
    status: int
    attempts: int


class System:
    """A running system with these servers behind the gateway, and these in front of it."""

    def __init__(self, ondol: Path, folder: Path) -> None:
        self._ondol = ondol
        self.folder = folder
        self.gateway, self._console = _free_ports(2)

    def write(self, backends: list[Server], fronts: list[Server], timeout: str) -> None:
        """Its manifests: each back end at `/NAME`, what comes by a front at `/by-NAME`, which is the recorder's."""
        # Servers that give up the rights of root must still write here.
        self.folder.chmod(0o755)
        (self.folder / "seen").mkdir()
        (self.folder / "ondol.yaml").write_text(
            _SYSTEM.format(gateway=self.gateway, console=self._console, timeout=timeout), encoding="utf-8"
        )
        by_fronts = [f"by-{front.name}" for front in fronts]
        for backend in backends:
            prefixes = [backend.name, *(by_fronts if backend.name == "plain" else [])]
            self._service("backend", backend.name, backend.name, prefixes)
        for front in fronts:
            self._service("front", front.name, f"by-{front.name}", [])

    def _service(self, kind: str, name: str, service: str, prefixes: list[str]) -> None:
        folder = self.folder / "services" / service
        folder.mkdir(parents=True)
        seen = self.seen(service)
        seen.touch()
        seen.chmod(0o666)
        text = _SERVICE.format(
            service=service,
            here=HERE,
            python=sys.executable,
            kind=kind,
            name=name,
            seen=seen,
            routes=json.dumps([{"match": {"prefix": f"/{prefix}"}} for prefix in prefixes]),
        )
        (folder / "service.yaml").write_text(text, encoding="utf-8")

    def seen(self, service: str) -> Path:
        """The file with what a service saw."""
        return self.folder / "seen" / f"{service}.jsonl"

    def up(self) -> None:
        """Starts all, until each service is ready."""
        self._run("up", "--detach")

    def down(self) -> None:
        """Stops all, in order; afterwards every log is whole."""
        self._run("down")

    def port(self, service: str) -> int:
        """The port of a service's only instance."""
        status: dict[str, Any] = json.loads(self._run("status", "--json"))
        found = next(known for known in status["services"] if known["service"] == service)
        port: int = found["instances"][0]["port"]
        return port

    def access(self) -> Iterator[Line]:
        """The requests of the access log, in its order; a head that was refused is none."""
        for path in sorted((self.folder / ".ondol/access").glob("*.jsonl")):
            for text in path.read_text(encoding="utf-8").splitlines():
                line = json.loads(text)
                if "client" in line and "path" in line:  # From outside; the others are calls between services.
                    yield Line(line["method"], line["path"], line["status"], line["attempts"])

    def _run(self, *words: str) -> str:
        done = subprocess.run([self._ondol, "-C", self.folder, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"`ondol {' '.join(words)}` ended with {done.returncode}:\n{done.stdout}{done.stderr[-2000:]}")
        return done.stdout


@contextmanager
def running(ondol: Path, backends: list[Server], fronts: list[Server], timeout: str = "5s") -> Iterator[System]:
    """A system of these servers, stopped and gone in the end; `timeout`: for a server that does not answer."""
    folder = Path(tempfile.mkdtemp(prefix="ondol-judge-"))
    system = System(ondol, folder)
    try:
        system.write(backends, fronts, timeout)
        try:
            system.up()
            yield system
        finally:
            system.down()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on, below those of outgoing connections."""
    found: list[int] = []
    for port in range(10_000 + int.from_bytes(os.urandom(2)) % 9_000, 20_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free port between 10000 and 20000")
