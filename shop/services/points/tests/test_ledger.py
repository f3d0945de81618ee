"""The ledger alone: once each, whatever is told again, and nothing half."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_points.ledger import Ledger
from shop_points.order import ConfirmedOrder

ORDERS = "points.orders"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "points" / "points.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(path)
    yield ledger
    ledger.close()


def order(id_: str, total: int = 4950, customer: str = "u1") -> ConfirmedOrder:
    return ConfirmedOrder(id_, customer, total, "EUR")


def test_the_same_event_gives_once(ledger: Ledger) -> None:
    assert [ledger.award(ORDERS, "e1", order("1")) for _ in range(3)] == [True, False, False]
    assert ledger.balance("u1") == 49


def test_another_event_of_the_same_order_gives_nothing(ledger: Ledger) -> None:
    assert ledger.award(ORDERS, "e1", order("1"))
    assert not ledger.award(ORDERS, "e2", order("1", total=9900))
    assert ledger.totals() == {"orders": 1, "total": 4950, "points": 49, "balances": 49}


def test_orders_add_up_for_each_customer(ledger: Ledger) -> None:
    for n, customer in enumerate(["u1", "u2", "u1"]):
        assert ledger.award(ORDERS, f"e{n}", order(str(n), total=150, customer=customer))
    assert (ledger.balance("u1"), ledger.balance("u2"), ledger.balance("u3")) == (2, 1, 0)
    assert ledger.totals() == {"orders": 3, "total": 450, "points": 3, "balances": 3}


def test_what_was_given_is_there_after_a_restart(ledger: Ledger, path: Path) -> None:
    ledger.award(ORDERS, "e1", order("1"))
    ledger.close()
    again = Ledger.open(path)
    assert not again.award(ORDERS, "e1", order("1"))
    assert again.balance("u1") == 49
    again.close()


def test_what_fails_in_the_middle_leaves_nothing(ledger: Ledger, path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON balance BEGIN SELECT raise(ROLLBACK, 'full'); END")
    other.close()
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        ledger.award(ORDERS, "e1", order("1"))
    assert ledger.totals() == {"orders": 0, "total": 0, "points": 0, "balances": 0}
    with sqlite3.connect(path) as other:
        other.execute("DROP TRIGGER full")
    other.close()
    assert ledger.award(ORDERS, "e1", order("1"))


def test_the_reader_sees_what_is_committed_and_writes_nothing(ledger: Ledger, path: Path) -> None:
    reader = Ledger.open_to_read(path)
    ledger.award(ORDERS, "e1", order("1"))
    assert reader.balance("u1") == 49
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.award(ORDERS, "e2", order("2"))
    reader.close()


def test_a_file_of_a_later_version_is_not_touched(ledger: Ledger, path: Path) -> None:
    ledger.close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(sqlite3.DatabaseError, match="version 99"):
        Ledger.open(path)
