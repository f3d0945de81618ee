"""The service's life: settings, ledger, socket, requests, SIGTERM, the end."""

import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path

import uvicorn

from shop_points import app, logs
from shop_points.ledger import Ledger
from shop_points.worker import Worker

#: Longer than a proxy in front keeps an idle connection (60 s at most), so that it is always the proxy who closes.
_KEEP_ALIVE_SECONDS = 75

#: From SIGTERM until requests are cut; less than `stop_within` (10 s), after which the supervisor kills.
_STOP_WITHIN_SECONDS = 8


def main() -> None:
    """Runs the service to its end; exit code 1 with one line on standard error when it cannot start."""
    try:
        logs.start(os.environ.get("LOG") or "info")
        port, path = _port(_variable("PORT")), _file(_variable("DATABASE_URL"))
        # State first: whoever can connect is served.
        writer = Worker(Ledger.open(path), "writer")
        reader = Worker(Ledger.open_to_read(path), "reader")
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit(f"error: {error}")
    # uvicorn hands the signal on once it has stopped; to have been asked is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        uvicorn.run(
            app.create(writer, reader),
            host="127.0.0.1",
            port=port,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_WITHIN_SECONDS,
        )
    finally:
        for worker in (writer, reader):
            worker.close()


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"the variable {name} is not set: `ondol up` gives it")
    return value


def _port(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"PORT {text!r} is no number")
    return int(text)


def _file(url: str) -> Path:
    path = url.removeprefix("sqlite://")
    if path == url or not path.startswith("/"):
        raise ValueError(f"DATABASE_URL {url!r} is not sqlite:///ABSOLUTE/PATH")
    return Path(path)


if __name__ == "__main__":
    main()
