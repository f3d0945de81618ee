"""What points need to know of a confirmed order, read from the event alone."""

import re
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from ondol import Event

#: The event's type that this service understands.
CONFIRMED = "order.confirmed.v1"

#: Orders are streams of this family: `order-` and the order's id.
_STREAM = re.compile(r"order-(?P<order>[!-~]{1,200})")

_CURRENCY = re.compile(r"[A-Z]{3}")

#: Above any order and far below where sums overflow.
_MAX_TOTAL = 10**15

#: One point for each full so many minor units of the total.
_MINOR_UNITS_PER_POINT = 100

T = TypeVar("T", str, int)


class NotForPoints(ValueError):
    """The event does not say what points need, and will not when it comes again."""


@dataclass(frozen=True, slots=True)
class ConfirmedOrder:
    """Who has ordered for how much."""

    order: str
    customer: str
    #: In minor units.
    total: int
    #: ISO 4217. Kept for people: a point is for 100 minor units of any currency.
    currency: str

    @classmethod
    def from_event(cls, event: Event) -> Self:
        """Reads an `order.confirmed.v1`; what it has beyond this is none of our business.

        Raises `NotForPoints`, also for events of a time when they did not name customer and total.
        """
        places = (_STREAM.fullmatch(place) for place in (event.stream, event.key) if place)
        match = next(filter(None, places), None)
        if match is None:
            raise NotForPoints("the event names no order: neither its stream nor its key is order-…")
        return cls.read(match["order"], event.data)

    @classmethod
    def read(cls, order: str, body: Any) -> Self:
        """Reads what is said of an order. Raises `NotForPoints`."""
        data = body if isinstance(body, dict) else {}
        customer = _member(data, "customer", str)
        total = _member(data, "total", int)
        currency = _member(data, "currency", str)
        if not 1 <= len(customer) <= 200:
            raise NotForPoints("customer must have 1 to 200 letters")
        if not 0 <= total <= _MAX_TOTAL:
            raise NotForPoints(f"total must be from 0 to {_MAX_TOTAL} minor units")
        if not _CURRENCY.fullmatch(currency):
            raise NotForPoints("currency must be three capital letters")
        return cls(order, customer, total, currency)

    @property
    def points(self) -> int:
        """What it is worth."""
        return self.total // _MINOR_UNITS_PER_POINT


def _member(data: dict[str, Any], name: str, kind: type[T]) -> T:
    value = data.get(name)
    # In Python `True` is an int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise NotForPoints(f"{name} must be {'a text' if kind is str else 'a whole number'}")
    return value
