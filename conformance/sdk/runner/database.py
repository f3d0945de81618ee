"""The database of a case, looked at from outside: what a driver says about rows is not believed.

SQLite is read by the standard library, PostgreSQL by `psql`, since the runner needs no package.
"""

import json
import secrets
import sqlite3
import subprocess
import tempfile
from abc import ABC, abstractmethod
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
    """A database made for one case on a running server, whose address and right to make databases are given."""

    name = "postgres"

    def __init__(self, server: str) -> None:
        self._server = server

    def __enter__(self) -> Self:
        self._made = f"conformance_{secrets.token_hex(6)}"
        self._psql(self._server, f"CREATE DATABASE {self._made}")
        self.url = urlunsplit(urlsplit(self._server)._replace(path=f"/{self._made}"))
        return self

    def __exit__(self, *_: object) -> None:
        self._psql(self._server, f"DROP DATABASE {self._made} WITH (FORCE)")

    def run(self, sql: str) -> None:
        self._psql(self.url, sql)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        text = self._psql(self.url, f"SELECT coalesce(json_agg(t), '[]') FROM ({sql}) AS t")
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

    def _psql(self, url: str, sql: str) -> str:
        command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]
        done = subprocess.run([*command, f"--command={sql}", url], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr.strip()}: {sql}")
        return done.stdout
