#!/usr/bin/env python3
"""Checks an SDK: `run.py [--case TEXT] [--database NAME] -- COMMAND…`, where COMMAND starts the SDK's driver.

SQLite always; PostgreSQL too when CONFORMANCE_POSTGRES_URL names a server on which databases may be made (needs `psql`).
Needs Python 3.11 or newer and nothing else. Exit code 0: every case holds.
"""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from runner.case import Case, Failure, read
from runner.database import Database, Postgres, Sqlite
from runner.driver import DriverError

CASES = Path(__file__).parent / "cases"


def main() -> int:
    """Runs what the words ask for; the exit code."""
    words = _words()
    with ExitStack() as stack:
        databases: list[Database] = [Sqlite()]
        if server := os.environ.get("CONFORMANCE_POSTGRES_URL"):
            databases.append(stack.enter_context(Postgres.made_on(server)))
        else:
            print("SKIPPED: PostgreSQL; CONFORMANCE_POSTGRES_URL is not set", file=sys.stderr)
        chosen = [database for database in databases if words.database in (None, database.name)]
        cases = [case for case in read(CASES) if words.case in f"{case.part}: {case.name}"]
        outcomes = [
            _holds(case, words.command, database) for case in cases for database in chosen if database.name in case.databases
        ]
    print(f"conformance: {outcomes.count(True)} passed, {outcomes.count(False)} failed")
    return 0 if outcomes and all(outcomes) else 1


def _holds(case: Case, command: list[str], database: Database) -> bool:
    try:
        case.run(command, database)
    except (Failure, DriverError) as error:
        print(f"FAILED {case.part} on {database.name}: {case.name}\n  {error}", flush=True)
        return False
    print(f"ok     {case.part} on {database.name}: {case.name}", flush=True)
    return True


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases whose 'part: name' contains this")
    parser.add_argument("--database", choices=["sqlite", "postgres"], help="only on this one")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="starts the driver; after --")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
