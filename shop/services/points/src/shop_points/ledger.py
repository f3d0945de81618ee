"""The ledger: one SQLite file with what was given for which order, and each customer's balance.

A `Ledger` is one connection and belongs to one thread; there is one that writes. A write begins with `BEGIN IMMEDIATE`, and
with `synchronous = FULL` its commit is on disk when it returns.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypedDict

from ondol import inbox

from shop_points.order import ConfirmedOrder

#: How long a write waits for another process at the file, in milliseconds. Below the time of a push.
_BUSY_TIMEOUT_MS = 5000

#: Each step brings the file from the version of its place to the next; none is ever edited.
_MIGRATIONS = [
    f"""
    {inbox.SCHEMA_SQLITE};
    CREATE TABLE award (
        order_id TEXT NOT NULL PRIMARY KEY,  -- so that an order's points are given once
        customer TEXT NOT NULL,
        total    INTEGER NOT NULL CHECK (total >= 0),
        currency TEXT NOT NULL,
        points   INTEGER NOT NULL CHECK (points >= 0),
        event    TEXT NOT NULL,              -- that told us of it
        at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE balance (
        customer TEXT NOT NULL PRIMARY KEY,
        points   INTEGER NOT NULL CHECK (points >= 0)
    ) STRICT, WITHOUT ROWID;
    """,
]

_AWARD = (
    "INSERT INTO award (order_id, customer, total, currency, points, event) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_ADD = (
    "INSERT INTO balance (customer, points) VALUES (?, ?) "
    "ON CONFLICT (customer) DO UPDATE SET points = points + excluded.points"
)
# One statement, so that all sums are of the same moment.
_TOTALS = (
    "SELECT count(*), coalesce(sum(total), 0), coalesce(sum(points), 0),"
    " (SELECT coalesce(sum(points), 0) FROM balance) FROM award"
)


_AWARDS = "SELECT order_id, at, customer, total, points FROM award WHERE order_id > ? ORDER BY order_id LIMIT ?"


class Award(TypedDict):
    """The points of one order, as others compare it with theirs."""

    key: str
    at: str
    customer: str
    total: int
    points: int


class Totals(TypedDict):
    """What was given, at one moment."""

    orders: int
    total: int
    points: int
    balances: int


class Ledger:
    """The file, by one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")

    @classmethod
    def open(cls, path: Path) -> Self:
        """To write: makes the file where it is missing and brings it to this version. Raises `sqlite3.Error`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        ledger = cls(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        ledger._connection.execute("PRAGMA journal_mode = WAL")
        ledger._connection.execute("PRAGMA synchronous = FULL")
        ledger._migrate()
        return ledger

    @classmethod
    def open_to_read(cls, path: Path) -> Self:
        """To read, beside the one that writes. Raises `sqlite3.Error`."""
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return cls(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False))

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def award(self, subscription: str, event: str, order: ConfirmedOrder) -> bool:
        """Gives an order's points; `False` when they were given before. On disk when it returns."""
        with self._transaction():
            if not inbox.once(self._connection, subscription, event):
                return False
            return self._give(event, order)

    def give(self, told: str, order: ConfirmedOrder) -> bool:
        """Gives the points of an order of which no event came; `False` when they were given before.

        No inbox: what is asked for again is known by its order. On disk when it returns.
        """
        with self._transaction():
            return self._give(told, order)

    def _give(self, told: str, order: ConfirmedOrder) -> bool:
        row = (order.order, order.customer, order.total, order.currency, order.points, told)
        given = self._connection.execute(_AWARD, row).rowcount == 1
        if given:
            self._connection.execute(_ADD, (order.customer, order.points))
        return given

    def awards(self, after: str, limit: int) -> list[Award]:
        """Awards by rising order after `after`."""
        rows = self._connection.execute(_AWARDS, (after, limit))
        return [
            Award(key=order, at=at, customer=customer, total=total, points=points)
            for order, at, customer, total, points in rows
        ]

    def balance(self, customer: str) -> int:
        """A customer's points."""
        row = self._connection.execute("SELECT points FROM balance WHERE customer = ?", (customer,)).fetchone()
        return int(row[0]) if row else 0

    def totals(self) -> Totals:
        """What was given in all."""
        orders, total, points, balances = self._connection.execute(_TOTALS).fetchone()
        return Totals(orders=orders, total=total, points=points, balances=balances)

    def _migrate(self) -> None:
        with self._transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > len(_MIGRATIONS):
                raise sqlite3.DatabaseError(f"the file is of version {version}, this program knows {len(_MIGRATIONS)}")
            for step in _MIGRATIONS[version:]:
                # Not `executescript`: it would commit first.
                for statement in filter(str.strip, step.split(";")):
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # After some errors, a full disk for one, SQLite has rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
