"""What is read of an event, and what is refused."""

from typing import Any

import pytest
from ondol import Event

from shop_points.order import ConfirmedOrder, NotForPoints

DATA = {"payment": "c1", "shipment": "s1", "customer": "u1", "total": 4950, "currency": "EUR"}


def event(data: Any, stream: str | None = "order-42", key: str | None = None) -> Event:
    return Event("e1", "/services/orders", "order.confirmed.v1", data, stream=stream, key=key)


def test_an_order_is_read_from_the_event_alone() -> None:
    order = ConfirmedOrder.from_event(event(DATA))
    assert order == ConfirmedOrder("42", "u1", 4950, "EUR")


def test_a_published_event_names_its_order_by_its_key() -> None:
    assert ConfirmedOrder.from_event(event(DATA, stream="topic-order.confirmed.v1", key="order-7")).order == "7"


@pytest.mark.parametrize(("total", "points"), [(0, 0), (99, 0), (100, 1), (199, 1), (4950, 49), (10**15, 10**13)])
def test_a_point_is_for_each_full_hundred(total: int, points: int) -> None:
    assert ConfirmedOrder.from_event(event(DATA | {"total": total})).points == points


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {"payment": "c1", "shipment": "s1"},  # of a time before customer and total were named
        DATA | {"customer": ""},
        DATA | {"customer": "u" * 201},
        DATA | {"customer": 7},
        DATA | {"total": -1},
        DATA | {"total": 10**15 + 1},
        DATA | {"total": True},
        DATA | {"total": 49.5},
        DATA | {"total": "4950"},
        DATA | {"currency": "eur"},
        DATA | {"currency": None},
    ],
)
def test_what_does_not_say_enough_is_refused(data: Any) -> None:
    with pytest.raises(NotForPoints):
        ConfirmedOrder.from_event(event(data))


@pytest.mark.parametrize(("stream", "key"), [(None, None), ("topic-x", None), ("order-", None), ("order-a b", None)])
def test_what_names_no_order_is_refused(stream: str | None, key: str | None) -> None:
    with pytest.raises(NotForPoints, match="names no order"):
        ConfirmedOrder.from_event(event(DATA, stream, key))
