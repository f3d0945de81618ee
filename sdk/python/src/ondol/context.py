"""What is handed on from cause to effect: W3C trace context, and the correlation and causation that travel in baggage.

In HTTP they are headers, in events the attributes `traceparent`, `correlationid`, `causationid`. What comes from outside and
does not fit is left out rather than refused: it must not turn an order into a dead letter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from ondol._headers import folded
from ondol._text import fits

#: Longest `baggage` that is handed on whole, in bytes: what W3C Baggage asks everybody to carry.
_MAX_BAGGAGE = 8192

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Context:
    """The cause of what is being done now."""

    traceparent: str | None = None
    correlation: str | None = None
    causation: str | None = None
    #: As it came, with the members of others.
    baggage: str | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Of the request that is being handled."""
        by_name = folded(headers)
        baggage = by_name.get("baggage")
        members = _members(baggage or "")
        traceparent = by_name.get("traceparent", "")
        return cls(
            traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
            members.get("correlation-id"),
            members.get("causation-id"),
            baggage if len(baggage or "") <= _MAX_BAGGAGE else None,
        )

    def headers(self) -> dict[str, str]:
        """For a call that is made because of it."""
        pairs = {"correlation-id": self.correlation, "causation-id": self.causation}
        known = ",".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items() if value)
        headers = {"traceparent": self.traceparent, "baggage": self.baggage or known}
        return {name: value for name, value in headers.items() if value}

    def attributes(self) -> dict[str, str]:
        """For an event that happens because of it."""
        pairs = {"correlationid": self.correlation, "causationid": self.causation, "traceparent": self.traceparent}
        return {name: value for name, value in pairs.items() if value}


def _members(baggage: str) -> dict[str, str]:
    """The members by name, without their properties; those that could not be an event's attribute are left out."""
    members: dict[str, str] = {}
    for member in baggage[:_MAX_BAGGAGE].split(","):
        name, _, value = member.partition(";")[0].partition("=")
        try:
            text = unquote(value.strip(), errors="strict")
        except UnicodeDecodeError:
            continue
        if text and fits(text):
            members.setdefault(name.strip(), text)
    return members
