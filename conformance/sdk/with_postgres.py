#!/usr/bin/env python3
"""Runs a command beside a PostgreSQL of its own: `with_postgres.py COMMAND…` sets CONFORMANCE_POSTGRES_URL for it.

The server lives in a temporary folder, is reached by its Unix socket alone and is gone with the command. As root it runs as
the user `postgres`, since it refuses root. Without PostgreSQL the command runs all the same, after a line that says so.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

VARIABLE = "CONFORMANCE_POSTGRES_URL"


def main() -> int:
    """Runs the command; its exit code."""
    tools = _tools()
    if tools is None:
        print("SKIPPED: PostgreSQL is not installed (Debian: apt-get install postgresql)", file=sys.stderr)
        return subprocess.run(sys.argv[1:], check=False).returncode
    with _server(tools) as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, VARIABLE: url}, check=False).returncode


@contextmanager
def _server(tools: Path) -> Iterator[str]:
    # A socket's path must fit into 108 bytes, so the folder is short.
    made = subprocess.run(_as_server("mktemp", "-d", "/tmp/ondol-pg-XXXXXX"), capture_output=True, text=True, check=True)
    folder = Path(made.stdout.strip())
    try:
        data = str(folder / "data")
        words = ["--auth=trust", "--username=test", "--encoding=UTF8", "--no-sync", "-D", data]
        subprocess.run(_as_server(str(tools / "initdb"), *words), stdout=subprocess.DEVNULL, check=True)
        # Cases kill clients, never the machine, so nothing needs to reach the disk.
        options = ["-c", "fsync=off", "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
        server = subprocess.Popen(
            _as_server(str(tools / "postgres"), "-D", data, *options),
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            _wait_until_ready(server)
            yield f"postgres://test@{quote(str(folder), safe='')}/postgres"
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(server: "subprocess.Popen[bytes]") -> None:
    """Reads the server's log until it says so, and the rest on a thread, so that the server never waits for a reader."""
    assert server.stderr is not None
    said = b""
    while b"ready to accept connections" not in said:
        line = server.stderr.readline()
        if not line:
            raise RuntimeError(f"postgres ended: {said.decode(errors='replace')}")
        said += line
    threading.Thread(target=server.stderr.read, daemon=True).start()


def _tools() -> Path | None:
    """The newest installed server's programs: on PATH, or where Debian puts them."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    return next((folder for folder in [*path, *debian] if (folder / "initdb").is_file()), None)


def _as_server(program: str, *words: str) -> list[str]:
    if os.getuid() != 0:
        return [program, *words]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", program, *words]


if __name__ == "__main__":
    sys.exit(main())
