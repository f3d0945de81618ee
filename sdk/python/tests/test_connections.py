"""The parts that write, on every kind of connection that callers have."""

import os
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row, tuple_row

from ondol import Answer, NewEvent, NoTransaction, SagaKey, barrier, inbox, outbox
from ondol._database import Connection

KEY = SagaKey.parse("s1.pay.action")


def dict_factory(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for part in (barrier, inbox, outbox):
        part.create(connection)
    yield connection
    connection.close()


@pytest.fixture
def server() -> Iterator[psycopg.Connection]:
    url = os.environ.get("CONFORMANCE_POSTGRES_URL")
    if not url:
        pytest.skip("CONFORMANCE_POSTGRES_URL is not set")
    with psycopg.connect(url, autocommit=True) as connection:
        # Temporary tables hide those of the same name and go with the connection.
        connection.execute("SET search_path = pg_temp, public")
        for part in (barrier, inbox, outbox):
            part.create(connection)
        yield connection


def enter_twice(connection: Connection) -> None:
    """Everything that reads a row back."""
    assert barrier.action(connection, KEY) == barrier.First()
    barrier.store(connection, KEY, Answer(201, {"id": "s1"}))
    assert barrier.action(connection, KEY) == barrier.Duplicate(Answer(201, {"id": "s1"}))
    assert inbox.once(connection, "points.orders", "e1")
    assert not inbox.once(connection, "points.orders", "e1")
    assert outbox.enqueue(connection, NewEvent("a.v1", id="e1")) == "e1"


@pytest.mark.parametrize("factory", [None, sqlite3.Row, dict_factory])
def test_sqlite_rows_may_have_any_form(file: sqlite3.Connection, factory: Any) -> None:
    file.row_factory = factory
    file.execute("BEGIN IMMEDIATE")
    enter_twice(file)


def test_sqlite_cursor_is_as_good_as_its_connection(file: sqlite3.Connection) -> None:
    cursor = file.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    enter_twice(cursor)
    assert outbox.trim(cursor, 1) == 1


def test_sqlite_connection_that_begins_by_itself_is_taken(file: sqlite3.Connection) -> None:
    file.isolation_level = "IMMEDIATE"
    enter_twice(file)
    assert file.in_transaction


def test_sqlite_without_a_transaction_is_refused(file: sqlite3.Connection) -> None:
    with pytest.raises(NoTransaction, match="begin one"):
        enter_twice(file)
    with pytest.raises(NoTransaction):
        inbox.once(file.cursor(), "points.orders", "e1")
    assert file.execute("SELECT count(*) FROM ondol_barrier").fetchone() == (0,)


@pytest.mark.parametrize("factory", [tuple_row, dict_row, namedtuple_row])
def test_postgres_rows_may_have_any_form(server: psycopg.Connection, factory: Any) -> None:
    with server.transaction():
        enter_twice(server.cursor(row_factory=factory))
    server.row_factory = factory
    with server.transaction():
        assert barrier.action(server, KEY) == barrier.Duplicate(Answer(201, {"id": "s1"}))


def test_postgres_connection_that_begins_by_itself_is_taken(server: psycopg.Connection) -> None:
    server.autocommit = False
    enter_twice(server)
    server.rollback()
    enter_twice(server)


def test_postgres_without_a_transaction_is_refused(server: psycopg.Connection) -> None:
    with pytest.raises(NoTransaction):
        inbox.once(server, "points.orders", "e1")
    with pytest.raises(NoTransaction):
        inbox.once(server.cursor(), "points.orders", "e1")
