#!/usr/bin/env python3
"""Runs the judges: `judge.py [--ondol PROGRAM] [JUDGE…]`, in the environment of `check.py`. Exit code 0: all is well."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from judges import curl, grpc_interop, h2load, sslscan, web_rpc, websocket
from judges.outcome import Outcome, Skipped, table
from judges.system import HERE, System, need

JUDGES: dict[str, Callable[[System], list[Outcome]]] = {
    "grpc": grpc_interop.run,
    "web-rpc": web_rpc.run,
    "websocket": websocket.run,
    "curl": curl.run,
    "h2load": h2load.run,
    "sslscan": sslscan.run,
}


def main() -> int:
    """Lets each judge look at one system; the exit code."""
    words = _words()
    wrong = 0
    try:
        need("openssl")
    except Skipped as missing:
        print(f"SKIPPED: every judge of conformance/judges/clients; {missing}", file=sys.stderr)
        return 0
    with System(words.ondol.resolve()) as system:
        for name in words.judges or JUDGES:
            began = time.monotonic()
            try:
                outcomes = JUDGES[name](system)
            except Skipped as missing:
                print(f"SKIPPED: the judge {name}; {missing}", file=sys.stderr)
                continue
            found = sum(outcome.error is not None for outcome in outcomes)
            wrong += found
            took = time.monotonic() - began
            print(f"== {name}: {len(outcomes)} outcomes, {found} wrong, {took:.1f} s\n{table(outcomes)}\n", flush=True)
    return 1 if wrong else 0


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ondol", type=Path, default=HERE.parents[2] / "target/release/ondol", help="the program to judge")
    parser.add_argument("judges", nargs="*", metavar="JUDGE", help=f"only these of {', '.join(JUDGES)}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
