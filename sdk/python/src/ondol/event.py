"""Events: one to be sent (`NewEvent`), checked when it is made; one that has come (`Event`), read from JSON or HTTP.

The formats are CloudEvents 1.0.2: JSON event format, and HTTP binding in binary mode with its percent-encoding of header
values (section 3.1.3.2). The rules for attributes are Ondol's, which are narrower: what is refused here would be refused
there, or would lie in the outbox for ever.
"""

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote, unquote

from ondol._headers import folded
from ondol._text import fits

#: Longest `type`, in bytes.
_MAX_TYPE = 256

_MAX_EXTENSIONS = 32

_NAME = re.compile(r"[a-z0-9]{1,20}")

#: Attributes with a field of their own, and those that the platform adds.
_NAMED = {
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "partitionkey",
    "datacontenttype",
    "data",
    "data_base64",
}
_PLACES = {"stream", "revision", "position"}
#: Set by the platform; an event that has come may have it.
_RESERVED = _NAMED | _PLACES | {"ondolhops"}
#: Extensions that are texts, whatever others may be.
_TEXTS = {"correlationid", "causationid", "traceparent", "dataschema", "deliverat"}

#: A moment as RFC 3339 writes it.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")

#: Visible ASCII but for `"` and `%`, which `quote` leaves as they are; it never encodes letters, digits and `_.-~`.
_PLAIN = "!#$&'()*+,/:;<=>?@[\\]^`{|}"

Extension = str | int | bool


class BadEvent(ValueError):
    """It is no event that Ondol would take: the message says which attribute and which rule."""


def _new_id() -> str:
    """A UUID of version 7: in the order of time, so that indexes grow at their end."""
    number = time.time_ns() // 1_000_000 << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be published or enqueued. It has its id from the beginning, so sending it again is the same event.

    Raises `BadEvent` when it is made.
    """

    #: What happened: `order.placed.v1`. One of the types that the service's manifest publishes.
    type: str
    #: A JSON value, or bytes together with `content_type`.
    data: Any = None
    id: str = field(default_factory=_new_id)
    #: Who says so; `/services/SERVICE` where it is left out.
    source: str | None = None
    subject: str | None = None
    #: Events with one key are delivered in their order; `partitionkey`.
    key: str | None = None
    #: Media type of `data`; JSON where it is left out.
    content_type: str | None = None
    #: Further attributes: `correlationid`, `deliverat` (RFC 3339), the service's own.
    extensions: Mapping[str, Extension] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.type and self.id):
            raise BadEvent("attribute type or id is empty")
        for name, value in self.attributes().items():
            _check(name, value, _MAX_TYPE if name == "type" else 512)
        if len(self.extensions) > _MAX_EXTENSIONS:
            raise BadEvent(f"there are more than {_MAX_EXTENSIONS} extensions")
        for name in self.extensions:
            if name in _RESERVED or not _NAME.fullmatch(name):
                raise BadEvent(f"{name[:80]!r} is no name for an extension: 1 to 20 of a-z and 0-9, and not taken")
            if name in _TEXTS and not isinstance(self.extensions[name], str):
                raise BadEvent(f"attribute {name} is no text")
        if not _is_moment(str(self.extensions.get("deliverat", "1970-01-01T00:00:00Z"))):
            raise BadEvent("attribute deliverat is no moment as RFC 3339 writes it")
        if isinstance(self.data, bytes) and self.content_type is None:
            raise BadEvent("bytes need a content type")

    def attributes(self) -> dict[str, Extension]:
        """All that is said, by the names of CloudEvents, without the data."""
        named = {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "partitionkey": self.key,
            "datacontenttype": self.content_type,
        }
        return {name: value for name, value in named.items() if value is not None} | dict(self.extensions)

    def to_json(self, source: str) -> dict[str, Any]:
        """In the JSON event format, with this source where it has none of its own."""
        event: dict[str, Any] = {"specversion": "1.0", "source": source, **self.attributes()}
        if isinstance(self.data, bytes):
            event["data_base64"] = base64.b64encode(self.data).decode()
        elif self.data is not None:
            event["data"] = self.data
        return event

    def to_http(self, source: str) -> tuple[dict[str, str], bytes]:
        """As headers and body in binary mode."""
        attributes = {"specversion": "1.0", "source": source, **self.attributes()}
        content_type = str(attributes.pop("datacontenttype", "application/json"))
        headers = {f"ce-{name}": _encoded(value) for name, value in attributes.items()}
        body = self.data if isinstance(self.data, bytes) else b"" if self.data is None else json_text(self.data).encode()
        return headers | {"content-type": content_type}, body


@dataclass(frozen=True, slots=True)
class Event:
    """An event that has come."""

    id: str
    source: str
    type: str
    #: A JSON value; bytes where the content type is another; `None` where there is none.
    data: Any = None
    time: str | None = None
    subject: str | None = None
    key: str | None = None
    content_type: str | None = None
    #: Its stream, its place in it from 0, and its place in the log of all events from 1.
    stream: str | None = None
    revision: int | None = None
    position: int | None = None
    extensions: Mapping[str, Extension] = field(default_factory=dict)

    @classmethod
    def from_json(cls, event: Mapping[str, Any]) -> Self:
        """Reads the JSON event format. Raises `BadEvent`."""
        data = event.get("data")
        if (text := event.get("data_base64")) is not None:
            try:
                data = base64.b64decode(text, validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                raise BadEvent("attribute data_base64 is no base64") from error
        return cls._from_attributes(event, data)

    @classmethod
    def from_http(cls, headers: Mapping[str, str], body: bytes) -> Self:
        """Reads binary mode. Raises `BadEvent`."""
        by_name = folded(headers)
        content_type = by_name.get("content-type")
        media_type = (content_type or "application/json").partition(";")[0].strip().lower()
        if media_type.startswith("application/cloudevents"):
            raise BadEvent("the event is not in binary mode")
        attributes: dict[str, Any] = {n[3:]: _decoded(n, v) for n, v in by_name.items() if n.startswith("ce-")}
        attributes["datacontenttype"] = content_type
        is_json = media_type == "application/json" or media_type.endswith("+json")
        return cls._from_attributes(attributes, _json_value(body) if is_json else body or None)

    @classmethod
    def _from_attributes(cls, attributes: Mapping[str, Any], data: Any) -> Self:
        if attributes.get("specversion") != "1.0":
            raise BadEvent("attribute specversion is not 1.0")
        texts = {name: _text(attributes, name) for name in _NAMED - {"data", "data_base64"}}
        id_, source, type_ = (texts[name] for name in ("id", "source", "type"))
        if not (id_ and source and type_):
            raise BadEvent("an event needs id, source and type")
        return cls(
            id_,
            source,
            type_,
            data,
            texts["time"],
            texts["subject"],
            texts["partitionkey"],
            texts["datacontenttype"],
            _text(attributes, "stream"),
            _number(attributes, "revision"),
            _number(attributes, "position"),
            {name: value for name, value in attributes.items() if name not in _NAMED | _PLACES},
        )

    def to_json(self) -> dict[str, Any]:
        """In the JSON event format, with its places, as the platform gives it."""
        is_bytes = isinstance(self.data, bytes)
        event = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "subject": self.subject,
            "partitionkey": self.key,
            "datacontenttype": self.content_type,
            "stream": self.stream,
            "revision": self.revision,
            "position": self.position,
            "data": None if is_bytes else self.data,
            "data_base64": base64.b64encode(self.data).decode() if is_bytes else None,
            **self.extensions,
        }
        return {name: value for name, value in event.items() if value is not None}


def json_text(value: Any) -> str:
    """As JSON that everybody can read. Raises `BadEvent`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadEvent(f"data is no JSON value: {error}") from error
    return text


def _check(name: str, value: object, limit: int) -> None:
    if isinstance(value, str):
        if not fits(value, limit):
            raise BadEvent(f"attribute {name[:80]} is longer than {limit} bytes or holds a control character")
    elif not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise BadEvent(f"attribute {name[:80]} is neither a string, a boolean nor a whole number of 32 bits")


def _is_moment(text: str) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        # Shorter fractions than these are read everywhere, and the rest is not looked at.
        datetime.fromisoformat(re.sub(r"\.\d+", "", text.upper()))
    except ValueError:
        return False
    return True


def _encoded(value: Extension) -> str:
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe=_PLAIN)


def _decoded(name: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise BadEvent(f"header {name[:80]} is not percent-encoded UTF-8") from error


def _json_value(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"the body is no JSON: {error}") from error


def _no_constant(word: str) -> None:
    """Python's parser takes NaN and infinities, JSON knows none."""
    raise ValueError(f"{word} is no JSON value")


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    if value is not None and not isinstance(value, str):
        raise BadEvent(f"attribute {name} is no text")
    return value


def _number(attributes: Mapping[str, Any], name: str) -> int | None:
    value = attributes.get(name)
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise BadEvent(f"attribute {name} is no whole number")
