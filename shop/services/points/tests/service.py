"""The service as a process of its own, and a client that pushes as Ondol does."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent

#: Seconds within which everything here must happen; reached only when something is broken.
PATIENCE = 180.0


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: Any


def free_port() -> int:
    """A port that no outgoing connection takes while the instance is dead: it is outside of the range for those."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.randrange(10_000, first)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


class Service:
    """One instance over a file; `start` again after its death to have the next."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "points.db"
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        paths = [str(HERE / "src"), str(HERE / "../../../sdk/python/src")]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite://{self.file}",
        }
        command = [sys.executable, "-m", "shop_points"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                assert self.ask("GET", "/health").status == 200
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"it did not start: {self.stop(signal.SIGKILL)}")

    def stop(self, number: signal.Signals) -> tuple[int, list[dict[str, Any]]]:
        """Sends a signal and waits for the end: the exit code, and what it has logged."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Waits for the end that was asked for."""
        assert self.process is not None
        output, _ = self.process.communicate(timeout=PATIENCE)
        code, self.process = self.process.returncode, None
        return code, [json.loads(line) for line in output.splitlines()]

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        sent: threading.Event | None = None,
    ) -> Reply:
        """One request on a connection of its own; `sent` is set once it is out. Raises `OSError` when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            if sent is not None:
                sent.set()
            response = connection.getresponse()
            content = response.read()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, json.loads(content) if content else None)
        except http.client.HTTPException as error:
            raise ConnectionError(error) from error
        finally:
            connection.close()

    def push(self, event: str, order: str, data: Any, sent: threading.Event | None = None, **headers: str) -> Reply:
        """An `order.confirmed.v1`; `data` as bytes is sent as it is, headers by their names with `_` for `-`."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        words = {
            "ce-specversion": "1.0",
            "ce-id": event,
            "ce-source": "/services/orders",
            "ce-type": "order.confirmed.v1",
            "ce-stream": f"order-{order}",
            "ce-partitionkey": f"order-{order}",
            "content-type": "application/json",
            "ondol-caller": "ondol",
            "ondol-subscription": "points.orders",
            "ondol-attempt": "1.1",
            "idempotency-key": f'"{event}"',
        }
        words |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/internal/events", words, body, sent)

    def balance(self, customer: str) -> Any:
        """A customer's points."""
        return self.ask("GET", "/api/points", {"ondol-subject": customer}).body["balance"]

    def totals(self) -> dict[str, int]:
        """As audit asks for them."""
        totals: dict[str, int] = self.ask("GET", "/internal/totals").body
        return totals
