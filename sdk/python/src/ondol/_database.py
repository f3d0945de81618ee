"""One connection, of SQLite or PostgreSQL: what the three parts that write rows share.

The statements are the same on both but for the placeholder. Nothing here begins, commits or rolls back: the transaction is
the caller's, since the row and the effect must share it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

#: libpq's PQTRANS_IDLE.
_IDLE = 0


class Connection(Protocol):
    """A connection or cursor of `sqlite3` or psycopg 3."""

    def execute(self, query: Any, parameters: Any = ..., /) -> Any:
        """Runs one statement and gives a cursor."""


class NoTransaction(RuntimeError):
    """The statement would commit by itself, apart from the effect. Begin first; on SQLite with `BEGIN IMMEDIATE`."""

    def __init__(self) -> None:
        super().__init__("no transaction is open: begin one, so that the row and the effect commit together")


def is_sqlite(connection: Connection) -> bool:
    """Whether it is SQLite; otherwise it is PostgreSQL."""
    return isinstance(connection, sqlite3.Connection | sqlite3.Cursor)


def execute(connection: Connection, sql: str, parameters: Sequence[object]) -> Any:
    """Runs a statement with `?` for each parameter, inside the caller's transaction.

    Raises `NoTransaction`, and what the driver raises.
    """
    _expect_transaction(connection)
    return connection.execute(sql if is_sqlite(connection) else sql.replace("?", "%s"), parameters)


def first_row(cursor: Any) -> tuple[Any, ...] | None:
    """The first row, whatever the connection's row factory makes of rows."""
    row = cursor.fetchone()
    return None if row is None else tuple(row.values() if isinstance(row, Mapping) else row)


def _expect_transaction(connection: Connection) -> None:
    """Refuses a connection that commits by itself. One that begins by itself before a write is well."""
    whole: Any = getattr(connection, "connection", connection)
    if isinstance(whole, sqlite3.Connection):
        by_itself = whole.isolation_level is None or getattr(whole, "autocommit", None) is True
        if by_itself and not whole.in_transaction:
            raise NoTransaction
    elif whole.autocommit and whole.info.transaction_status == _IDLE:
        raise NoTransaction
