#!/usr/bin/env python3
"""Judges the data plane of a program `ondol` with real back ends, real proxies and slow clients; `README.md` says how.

Needs Python 3.11 or newer and nothing else; what is not installed of the servers is skipped, with a line that names it.
"""

import argparse
import sys
from pathlib import Path

from judge import cases, environment, fronts, slow, smuggling
from judge.report import Row, table
from judge.servers import BACKENDS, FRONTS, Server

#: Fewer have not judged.
_BACKENDS, _FRONTS = 10, 3


def main() -> int:
    """Runs the judges that the words ask for; the exit code."""
    words = _words()
    plans = [plan for plan in cases.read() if words.case in (None, plan.name)]
    if not plans:
        sys.exit(f"error: there is no case {words.case!r}")
    environment.install()
    rows: list[Row] = []
    if "backends" in words.judges:
        found = smuggling.judge(words.ondol, _there(BACKENDS, words, _BACKENDS), plans)
        print(table("back end", found))
        rows += found
    if "fronts" in words.judges:
        found = fronts.judge(words.ondol, _there(FRONTS, words, _FRONTS), plans)
        print(table("front", found))
        rows += found
    if "slow" in words.judges:
        if slow.is_there():
            found = slow.judge(words.ondol)
            print(table("slow clients", found))
            rows += found
        else:
            print("SKIPPED: slow clients; install Debian: slowhttptest", file=sys.stderr)
    return 1 if any(row.breaches for row in rows) else 0


def _there(servers: list[Server], words: argparse.Namespace, needed: int) -> list[Server]:
    chosen = [server for server in servers if words.server in (None, server.name)]
    there = [server for server in chosen if server.there()]
    for server in chosen:
        if server not in there:
            print(f"SKIPPED: {server.name}; install {server.needs}", file=sys.stderr)
    if words.server is None and not words.allow_fewer and len(there) < needed:
        sys.exit(f"error: only {len(there)} of the {needed} servers that a judgement needs are here; --allow-fewer goes on")
    if not there:
        sys.exit("error: no server is here")
    return there


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("judges", nargs="*", choices=["backends", "fronts", "slow", []], help="only these")
    parser.add_argument("--ondol", type=Path, default=Path("target/release/ondol"), help="the program that is judged")
    parser.add_argument("--case", help="only this case")
    parser.add_argument("--server", help="only this back end or front")
    parser.add_argument("--allow-fewer", action="store_true", help="go on with fewer servers than a judgement needs")
    words = parser.parse_args()
    words.judges = words.judges or ["backends", "fronts", "slow"]
    words.ondol = words.ondol.resolve()
    return words


if __name__ == "__main__":
    sys.exit(main())
