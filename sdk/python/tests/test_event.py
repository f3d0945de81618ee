"""Events in the forms of Python: what the cases, being JSON, cannot say."""

import re
import sqlite3

import pytest

from ondol import BadEvent, Context, Event, NewEvent, outbox
from ondol.event import json_text
from ondol.subscribe import caused_by


def test_ids_are_uuids_of_version_7_and_grow() -> None:
    first, second = NewEvent("a.v1").id, NewEvent("a.v1").id
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first)
    assert first != second
    assert first[:13] <= second[:13]


@pytest.mark.parametrize("data", [float("nan"), float("inf"), {1, 2}, object(), "\ud800"])
def test_what_is_no_json_is_refused(data: object) -> None:
    with pytest.raises(BadEvent, match="no JSON value"):
        json_text(data)


def test_bytes_need_a_content_type() -> None:
    with pytest.raises(BadEvent, match="content type"):
        NewEvent("a.v1", b"x")


@pytest.mark.parametrize("extensions", [{f"x{n}": 1 for n in range(33)}, {"id": "x"}, {"partitionkey": "x"}, {"x": 1.5}])
def test_extensions_are_bounded(extensions: dict[str, int]) -> None:
    with pytest.raises(BadEvent):
        NewEvent("a.v1", extensions=extensions)


def test_a_row_that_the_relay_would_not_take_is_refused() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    outbox.create(db)
    db.execute("BEGIN IMMEDIATE")
    outbox.enqueue(db, NewEvent("a.v1", "x" * (640 * 1024 - 4)))
    with pytest.raises(BadEvent, match="more than 655360 bytes"):
        outbox.enqueue(db, NewEvent("a.v1", "x" * (640 * 1024 - 3)))


def test_binary_mode_is_read_as_it_was_written() -> None:
    text = "".join(chr(n) for n in range(0x20, 0x7F)) + "é주😀"
    event = NewEvent("a.v1", {"n": 1}, subject=text, key="k", extensions={"flag": True, "number": -7})
    headers, body = event.to_http("/services/shop")
    assert all(value.isascii() and value.isprintable() and '"' not in value for value in headers.values())
    read = Event.from_http(headers, body)
    assert (read.id, read.type, read.source, read.subject, read.key) == (event.id, "a.v1", "/services/shop", text, "k")
    assert (read.data, dict(read.extensions)) == ({"n": 1}, {"flag": "true", "number": "-7"})


def test_json_is_read_as_it_was_written() -> None:
    event = {"specversion": "1.0", "id": "e1", "source": "/s", "type": "a.v1", "flag": True, "data_base64": "aGVsbG8="}
    assert Event.from_json(event).to_json() == event
    for broken in (
        {},
        event | {"id": 7},
        event | {"data_base64": "?"},
        event | {"position": -1},
        event | {"revision": True},
    ):
        with pytest.raises(BadEvent):
            Event.from_json(broken)


def test_the_context_of_an_event_names_it_as_the_cause() -> None:
    event = Event("e1", "/s", "a.v1", extensions={"correlationid": "c 1", "traceparent": "nonsense"})
    assert caused_by(event).headers()["baggage"] == "correlation-id=c%201,causation-id=e1"
    assert caused_by(event).attributes()["causationid"] == "e1"


def test_too_much_baggage_is_not_handed_on_whole() -> None:
    context = Context.from_headers({"Baggage": "correlation-id=c1," + "x" * 9000})
    assert context.headers() == {"baggage": "correlation-id=c1"}
