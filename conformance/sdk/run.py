#!/usr/bin/env python3
"""Checks an SDK: `run.py [--case TEXT] [--database NAME] -- COMMAND…`, where COMMAND starts the SDK's driver.

SQLite always; PostgreSQL too when CONFORMANCE_POSTGRES_URL names a server on which databases may be made (needs `psql`).
Needs Python 3.11 or newer and nothing else. Exit code 0: every case holds.
"""

import argparse
import os
import sys
from pathlib import Path

from runner.case import Case, Failure, read
from runner.database import Database, Postgres, Sqlite
from runner.driver import DriverError

CASES = Path(__file__).parent / "cases"


def main() -> int:
    """Runs what the words ask for; the exit code."""
    words = _words()
    server = os.environ.get("CONFORMANCE_POSTGRES_URL")
    if not server:
        print("SKIPPED: PostgreSQL; CONFORMANCE_POSTGRES_URL is not set", file=sys.stderr)
    passed = failed = 0
    for case in read(CASES):
        if words.case not in f"{case.part}: {case.name}":
            continue
        for database in _databases(case, server, words.database):
            error = _check(case, words.command, database)
            passed, failed = (passed, failed + 1) if error else (passed + 1, failed)
            print(f"{'FAILED' if error else 'ok    '} {case.part} on {database.name}: {case.name}", flush=True)
            if error:
                print(f"  {error}", flush=True)
    print(f"conformance: {passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def _check(case: Case, command: list[str], database: Database) -> Failure | DriverError | None:
    try:
        case.run(command, database)
    except (Failure, DriverError) as error:
        return error
    return None


def _databases(case: Case, server: str | None, only: str | None) -> list[Database]:
    all_of_them: list[Database] = [Sqlite(), *([Postgres(server)] if server else [])]
    return [database for database in all_of_them if database.name in case.databases and only in (None, database.name)]


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases whose 'part: name' contains this")
    parser.add_argument("--database", choices=["sqlite", "postgres"], help="only on this one")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="starts the driver; after --")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
