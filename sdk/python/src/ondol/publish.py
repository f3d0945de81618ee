"""Publishing: events of the types that the service's manifest names, durable when the call returns.

For what must be true together with a change in the service's own database use the outbox instead: between a commit and a
call to `publish` the process may die.
Tests: `conformance/sdk/cases/publish.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ondol.context import Context
from ondol.event import BadEvent, NewEvent, json_text
from ondol.platform import BadAnswer, Platform

#: Events of one call, and bytes of its body: the platform's own bounds.
MAX_EVENTS = 1000
MAX_BODY = 4 * 1024 * 1024

Mode = Literal["binary", "structured", "batch"]


@dataclass(frozen=True, slots=True)
class Published:
    """Where an event is in the log."""

    id: str
    position: int
    #: It was there before, with the same content.
    duplicate: bool


def publish(
    platform: Platform,
    events: NewEvent | Sequence[NewEvent],
    context: Context = Context(),  # noqa: B008 (immutable)
    *,
    mode: Mode | None = None,
) -> list[Published]:
    """Publishes all or none. `context` is their cause, from which the platform fills correlation, causation and trace.

    `mode` is how they are written, for whoever must know; one event is otherwise structured, several are a batch.
    Raises `BadEvent` before anything is sent, and as `Platform.ask` does; after `Unavailable` they may be there: publish the
    same events again.
    """
    listed = [events] if isinstance(events, NewEvent) else list(events)
    if not listed:
        return []
    if len(listed) > MAX_EVENTS:
        raise BadEvent(f"{len(listed)} events in one call; at most {MAX_EVENTS}")
    headers, body = _write(listed, platform.source, mode or ("structured" if len(listed) == 1 else "batch"))
    if len(body) > MAX_BODY:
        raise BadEvent(f"a body of {len(body)} bytes; at most {MAX_BODY}")
    return _read(platform.ask("POST", "/v1/events", body, context.headers() | headers))


def _write(events: list[NewEvent], source: str, mode: Mode) -> tuple[dict[str, str], bytes]:
    if mode == "batch":
        body = json_text([event.to_json(source) for event in events])
        return {"content-type": "application/cloudevents-batch+json"}, body.encode()
    if len(events) != 1:
        raise BadEvent(f"{len(events)} events cannot be {mode}; they are a batch")
    if mode == "binary":
        return events[0].to_http(source)
    return {"content-type": "application/cloudevents+json"}, json_text(events[0].to_json(source)).encode()


def _read(answer: Any) -> list[Published]:
    try:
        return [Published(str(one["id"]), int(one["position"]), bool(one["duplicate"])) for one in answer["events"]]
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer(f"expected the events' places: {answer!r}"[:300]) from error
