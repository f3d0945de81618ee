"""Subscribing: events that are pushed to a path of the service (`read`), or pulled by it (`run`).

Delivery is at least once and, for one key, in order and one at a time; a handler keeps its effect to once by the inbox.

What a push's answer means: 2xx done; 400, 409, 410, 413, 415, 422 this event can never be handled, it becomes a dead letter and
its key waits for a person; 401, 403, 404, 405 the wiring is wrong, the subscription waits; 429 and 503 with `Retry-After` not
now; everything else is tried again.
Tests: `conformance/sdk/cases/subscribe.json`.
"""

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec
from urllib.parse import quote

from ondol._headers import folded
from ondol.context import Context
from ondol.event import BadEvent, Event
from ondol.key import Attempt
from ondol.platform import BadAnswer, Platform, Refused, Unavailable

#: Longest pause of the loop while the platform is away, in seconds.
_MAX_PAUSE = 5.0

#: Longest reason that is told with a nack, in letters.
_MAX_REASON = 500

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class BadRequest(ValueError):
    """The request is no push that this path takes; `status` is what to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Reject(Exception):
    """Raised by a handler: this event can never be handled. It becomes a dead letter; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Push:
    """An event and the words of its delivery."""

    event: Event
    #: SERVICE.NAME; with the event's id it is what the inbox keeps.
    subscription: str
    attempt: Attempt
    #: Milliseconds until nobody waits for the answer any more.
    deadline_ms: int | None
    #: The cause of all that the handler does: hand it to `publish` and `enqueue`.
    context: Context


@dataclass(frozen=True, slots=True)
class Leased:
    """An event that is ours until it is acknowledged, handed back, or its lease ends."""

    lease: str
    event: Event

    @property
    def context(self) -> Context:
        """The cause of all that the handler does."""
        return caused_by(self.event)


def caused_by(event: Event) -> Context:
    """The context of what is done because of an event. One without a flow begins one: its own id names it."""
    correlation, traceparent = (event.extensions.get(name) for name in ("correlationid", "traceparent"))
    return Context(
        traceparent=traceparent if isinstance(traceparent, str) else None,
        correlation=correlation if isinstance(correlation, str) else event.id,
        causation=event.id,
    )


def read(headers: Mapping[str, str], body: bytes, subscription: str | None = None) -> Push:
    """Reads a push. With `subscription` only of that one: another is a mistake of the wiring, told by a 404.

    Only Ondol's own calls are taken: the proxy says who calls, and another service, or a guest of the gateway, gets 403.

    Raises `BadRequest`.
    """
    by_name = folded(headers)
    if by_name.get("ondol-caller") != "ondol":
        raise BadRequest(403, "this path is for Ondol's pushes")
    name = by_name.get("ondol-subscription")
    if not name:
        raise BadRequest(400, "the header Ondol-Subscription is missing")
    if subscription not in (None, name):
        raise BadRequest(404, f"this path is for {subscription}, not for {name[:200]}")
    try:
        event = Event.from_http(by_name, body)
    except BadEvent as error:
        raise BadRequest(400, str(error)) from error
    deadline = by_name.get("ondol-deadline-ms", "")
    return Push(
        event,
        name,
        Attempt.parse(by_name.get("ondol-attempt", "")),
        int(deadline) if deadline.isascii() and deadline.isdigit() and len(deadline) <= 12 else None,
        Context.from_headers(by_name),
    )


def pull(platform: Platform, name: str, *, limit: int = 10, wait: float = 20, lease: float = 30) -> list[Leased]:
    """Takes up to `limit` events, waiting up to `wait` seconds for the first; each is ours for `lease` seconds.

    `name` is the subscription's short name. Raises as `Platform.ask` does.
    """
    answer = _post(platform, name, "pull", {"limit": limit, "wait": _time(wait), "lease": _time(lease)}, waits=wait)
    try:
        return [Leased(str(one["lease"]), Event.from_json(one["event"])) for one in answer["events"]]
    except (AttributeError, KeyError, TypeError, BadEvent) as error:
        raise BadAnswer(f"expected leased events: {answer!r}"[:300]) from error


def ack(platform: Platform, name: str, leases: list[str]) -> None:
    """Says that these are done. Raises as `Platform.ask` does."""
    _post(platform, name, "ack", {"leases": leases})


def nack(
    platform: Platform, name: str, leases: list[str], reason: str, *, delay: float | None = None, reject: bool = False
) -> None:
    """Hands these back, to be tried again, after `delay` seconds at the earliest; or, with `reject`, as dead letters.

    Raises as `Platform.ask` does.
    """
    words = {"leases": leases, "reject": reject, "reason": reason[:_MAX_REASON]}
    _post(platform, name, "nack", words if delay is None else {**words, "delay": _time(delay)})


def run(
    platform: Platform,
    name: str,
    handler: Callable[[Leased], None],
    stop: threading.Event,
    *,
    limit: int = 10,
    wait: float = 20,
    lease: float = 30,
) -> None:
    """Pulls and handles events, one after the other, until `stop` is set; then what it still holds is handed back.

    An event is acknowledged after its handler has returned. A handler that raises `Reject` makes it a dead letter, one that
    raises anything else gets it again. `lease` must be longer than a page of `limit` events takes. While the platform is away
    the loop waits. Several may run, in this process and others; each key is with one of them at a time.

    Raises `Refused` where the platform does not allow the subscription.
    """
    while not stop.is_set():
        try:
            page = pull(platform, name, limit=limit, wait=wait, lease=lease)
        except (Unavailable, BadAnswer) as error:
            _log.warning("subscription %s: %s", name, error)
            given = error.retry_after if isinstance(error, Unavailable) else None
            stop.wait(min(given, _MAX_PAUSE) if given is not None else random.uniform(0, _MAX_PAUSE))  # noqa: S311
            continue
        for leased in page:
            if stop.is_set():
                _say(name, nack, platform, name, [leased.lease], "the consumer is stopping")
            else:
                _handle(platform, name, handler, leased)


def _handle(platform: Platform, name: str, handler: Callable[[Leased], None], leased: Leased) -> None:
    leases = [leased.lease]
    try:
        handler(leased)
    except Reject as error:
        _say(name, nack, platform, name, leases, str(error), reject=True)
    except Exception as error:
        _log.exception("subscription %s: event %s is handed back", name, leased.event.id)
        _say(name, nack, platform, name, leases, f"{type(error).__name__}: {error}")
    else:
        _say(name, ack, platform, name, leases)


def _say(subscription: str, call: Callable[P, None], *words: P.args, **named: P.kwargs) -> None:
    """Tells the platform about a lease. When that fails the lease ends by itself and the event comes again."""
    try:
        call(*words, **named)
    except (Refused, Unavailable, BadAnswer) as error:
        _log.warning("subscription %s: %s", subscription, error)


def _post(platform: Platform, name: str, what: str, words: dict[str, Any], waits: float = 0.0) -> Any:
    path = f"/v1/subscriptions/{quote(name, safe='')}/{what}"
    body = json.dumps(words, ensure_ascii=False).encode(errors="replace")
    return platform.ask("POST", path, body, {"content-type": "application/json"}, waits=waits)


def _time(seconds: float) -> str:
    """As the platform writes times: `20s`, `500ms`."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
