"""One small system behind Ondol: the servers of others as its services, a gateway in the clear and one with TLS."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from judges.outcome import Skipped

HERE = Path(__file__).resolve().parent.parent
#: Seconds in which anything that should happen has happened; a busy machine may need much of it.
PATIENCE = 60.0

SYSTEM = """system: judged
services: [services/*]
console: {{ bind: "127.0.0.1:{console}" }}
gateway:
  listeners:
    web: {{ bind: "127.0.0.1:{web}" }}
    tls: {{ bind: "127.0.0.1:{tls}", tls: {{ certificates: [{{ cert: judged.crt, key: judged.key }}] }} }}
"""

#: Each route by host: `NAME.test` streams, `NAME.plain.test` has Ondol's usual deadline.
SERVICE = """service: {name}
run: {run}
protocol: {protocol}
ready: {{ tcp: true }}
env: {{ JUDGE_DESCRIPTORS: "{descriptors}" }}
depends_on: {{ {needs} }}
defaults: {{ stream: true, body_limit: 1GiB }}
routes:
  - {{ match: {{ hosts: [{name}.test], prefix: / }} }}
  - {{ match: {{ hosts: [{name}.plain.test], prefix: / }}, stream: false }}
"""


@dataclass(frozen=True)
class Way:
    """One way to a server, by TCP on loopback; `tls` with the system's certificate."""

    name: str
    port: int
    host: str
    tls: bool = False


@dataclass(frozen=True)
class Server:
    """A service: its name, the words that start it, and how it speaks to the proxy."""

    name: str
    words: tuple[str, ...]
    protocol: str


def servers() -> list[Server]:
    """The services that this machine can run."""
    python = str(HERE / ".venv/bin/python")
    found = [
        Server("interop-python", (python, str(HERE / "services/interop_python.py")), "h2c"),
        Server("sockets", (python, str(HERE / "services/sockets.py")), "http1"),
    ]
    if has_node():
        node = shutil.which("node") or "node"
        found += [
            Server("interop-node", (node, str(HERE / "services/interop.js")), "h2c"),
            Server("connect", (node, str(HERE / "services/connect.js")), "http1"),
            Server("connect-h2", (node, str(HERE / "services/connect.js"), "h2c"), "h2c"),
            Server("web", (node, str(HERE / "services/web.js")), "http1"),
            Server("web-h2", (node, str(HERE / "services/web.js"), "h2c"), "h2c"),
        ]
    return found


def has_node() -> bool:
    """Whether there are Node.js and what it needs from its registry."""
    return shutil.which("node") is not None and (HERE / "node_modules/.lock").is_file()


def need(*programs: str) -> None:
    """Raises `Skipped` where one is not there."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        raise Skipped(f"missing: {', '.join(missing)}")


def need_node() -> None:
    """Raises `Skipped` where there is no Node.js."""
    if not has_node():
        raise Skipped("missing: node 20, npm and the packages of package-lock.json")


class System:
    """The system, up from `with` on, and down at its end, whatever happens."""

    def __init__(self, ondol: Path) -> None:
        self._ondol = str(ondol)
        self._temporary = tempfile.TemporaryDirectory(prefix="ondol-judges-")
        self.folder = Path(self._temporary.name)
        self.console, self.web, self.tls = _free(3)
        self._environment: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> "System":
        try:
            self._write()
            self._run("up", "--detach")
            self._look()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None) -> None:
        subprocess.run([self._ondol, "-C", str(self.folder), "down"], capture_output=True, check=False)
        self._temporary.cleanup()

    @property
    def certificate(self) -> Path:
        """What the gateway shows by TLS, signed by itself; for every name that it serves."""
        return self.folder / "judged.crt"

    @property
    def descriptors(self) -> Path:
        """What protoc makes of `proto/`."""
        return self.folder / "descriptors.bin"

    def ways(self, service: str) -> list[Way]:
        """Straight to the service, which is the control; and by gateway, with a deadline, with TLS, by an edge."""
        edge = int(self._environment[f"{service.upper().replace('-', '_')}_URL"].rsplit(":", 1)[1])
        return [
            Way("direct", self._ports[service], f"{service}.test"),
            Way("gateway", self.web, f"{service}.test"),
            Way("deadline", self.web, f"{service}.plain.test"),
            Way("tls", self.tls, f"{service}.test", tls=True),
            Way("edge", edge, f"{service}.test"),
        ]

    def metrics(self) -> str:
        """The figures of the admin API."""
        token = (self.folder / ".ondol/token").read_text(encoding="utf-8").strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.console}/metrics", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def _write(self) -> None:
        names = [server.name for server in servers()]
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE / 'proto'}", f"--descriptor_set_out={self.descriptors}"]
        subprocess.run([*protoc, "interop.proto", "witness.proto"], check=True)
        self._write_file("ondol.yaml", SYSTEM.format(console=self.console, web=self.web, tls=self.tls))
        for server in servers():
            run = json.dumps(" ".join(f"'{word}'" for word in server.words))
            text = SERVICE.format(name=server.name, run=run, protocol=server.protocol, needs="", descriptors=self.descriptors)
            self._write_file(f"services/{server.name}/service.yaml", text)
        # It has an edge to each of the others and calls none: the judges do, through its sockets.
        caller = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "${PORT}"]
        text = SERVICE.format(
            name="caller",
            run=json.dumps(" ".join(f"'{word}'" if " " in word else word for word in caller)),
            protocol="http1",
            needs=", ".join(f"{name}: required" for name in names),
            descriptors=self.descriptors,
        )
        self._write_file("services/caller/service.yaml", text)
        hosts = ",".join(f"DNS:{name}{kind}.test" for name in names for kind in ("", ".plain"))
        words = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ]
        words += ["-subj", "/CN=judged", "-addext", f"subjectAltName={hosts},DNS:localhost,IP:127.0.0.1"]
        words += ["-keyout", "judged.key", "-out", "judged.crt"]
        subprocess.run(words, cwd=self.folder, capture_output=True, check=True)

    def _write_file(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _look(self) -> None:
        """Finds ports in the status, and edges in the caller's environment."""
        status = json.loads(self._run("status", "--json"))
        instances = {service["service"]: service["instances"][0] for service in status["services"]}
        self._ports = {name: instance["port"] for name, instance in instances.items()}
        raw = Path(f"/proc/{instances['caller']['pid']}/environ").read_bytes().decode()
        self._environment = dict(pair.split("=", 1) for pair in raw.split("\0") if "=" in pair)

    def _run(self, *words: str) -> str:
        ended = subprocess.run([self._ondol, "-C", str(self.folder), *words], capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise RuntimeError(f"ondol {' '.join(words)}: {ended.stdout}{ended.stderr}")
        return ended.stdout


def _free(count: int) -> list[int]:
    """Ports of loopback below those that Ondol gives out and those of outgoing connections, which nobody listens on."""
    found: list[int] = []
    for port in range(10_000 + os.getpid() % 9_000, 29_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found
