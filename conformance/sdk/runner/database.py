"""The database of a case, looked at from outside: what a driver says about rows is not believed.

SQLite is read by the standard library, PostgreSQL by `psql`, since the runner needs no package.
"""

import json
import os
import secrets
import sqlite3
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit


class Database(ABC):
    """An empty database, gone at the end of the `with`."""

    name: str
    url: str

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def run(self, sql: str) -> None:
        """Runs a statement and commits it."""

    @abstractmethod
    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a query gives, as JSON objects."""

    @abstractmethod
    def columns(self, table: str) -> dict[str, dict[str, Any]]:
        """The table's columns by name: `null`, whether NULL is allowed; `key`, whether it is of the primary key."""


class Sqlite(Database):
    """A file in a folder of its own."""

    name = "sqlite"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-")
        path = Path(self._folder.name) / "case.db"
        self.url = f"sqlite://{path}"
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._folder.cleanup()

    def run(self, sql: str) -> None:
        self._connection.execute(sql)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(sql)]

    def columns(self, table: str) -> dict[str, dict[str, Any]]:
        rows = self.rows(f"SELECT name, \"notnull\" AS filled, pk FROM pragma_table_info('{table}')")
        # SQLite leaves `notnull` at 0 for an INTEGER PRIMARY KEY, which is never NULL all the same.
        return {row["name"]: {"null": not (row["filled"] or row["pk"]), "key": bool(row["pk"])} for row in rows}


class Postgres(Database):
    """A database on a running server, made for the run; emptied for each case, since making one takes seconds."""

    name = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    @contextmanager
    def made_on(cls, server: str) -> Iterator[Self]:
        """Makes the database on the server at this address; it is gone at the end of the `with`."""
        name = f"conformance_{secrets.token_hex(6)}"
        _psql(server, f"CREATE DATABASE {name}")
        try:
            yield cls(urlunsplit(urlsplit(server)._replace(path=f"/{name}")))
        finally:
            _psql(server, f"DROP DATABASE {name} WITH (FORCE)")

    def __enter__(self) -> Self:
        # It waits for what drivers of the case before still hold while their connections are being closed.
        self.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: the next case empties it."""

    def run(self, sql: str) -> None:
        _psql(self.url, sql)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        text = _psql(self.url, f"SELECT coalesce(json_agg(t), '[]') FROM ({sql}) AS t")
        rows: list[dict[str, Any]] = json.loads(text)
        return rows

    def columns(self, table: str) -> dict[str, dict[str, Any]]:
        rows = self.rows(
            "SELECT column_name AS name, is_nullable = 'YES' AS nullable, column_name IN ("
            "SELECT column_name FROM information_schema.key_column_usage JOIN information_schema.table_constraints"
            f" USING (constraint_name, table_name) WHERE table_name = '{table}' AND constraint_type = 'PRIMARY KEY'"
            f") AS key FROM information_schema.columns WHERE table_name = '{table}'"
        )
        return {row["name"]: {"null": row["nullable"], "key": row["key"]} for row in rows}


def _psql(url: str, sql: str) -> str:
    command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]
    quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
    words = [*command, f"--command={sql}", url]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode != 0:
        raise RuntimeError(f"psql: {done.stderr.strip()}: {sql}")
    return done.stdout
