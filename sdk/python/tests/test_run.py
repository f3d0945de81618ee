"""The pulling loop where threads matter, and the platform's address in the environment."""

import threading
from typing import Any

import pytest

from ondol import Platform, Refused, subscribe


class Recorded(Platform):
    """A platform that answers from a list and records what it was asked."""

    def __init__(self, pages: list[list[str]]) -> None:
        super().__init__("http://127.0.0.1:1", "token", "points")
        self.pages = pages
        self.asked: list[str] = []

    def ask(self, method: str, path: str, body: bytes | None = None, *_: Any, **__: Any) -> Any:
        assert method == "POST"
        self.asked.append(f"{path.rpartition('/')[2]} {(body or b'').decode()}")
        if not path.endswith("/pull"):
            return {}
        if not self.pages:
            raise Refused(403, "AP-003", "no more")
        event = {"specversion": "1.0", "source": "/s", "type": "a.v1"}
        return {"events": [{"lease": f"l-{id_}", "event": {**event, "id": id_}} for id_ in self.pages.pop(0)]}


def test_what_is_still_held_at_the_stop_is_handed_back_and_not_handled() -> None:
    platform, stop = Recorded([["e1", "e2", "e3"]]), threading.Event()
    handled: list[str] = []

    def handle(leased: subscribe.Leased) -> None:
        handled.append(leased.event.id)
        stop.set()

    subscribe.run(platform, "orders", handle, stop)
    assert handled == ["e1"]
    assert [line.partition(" ")[0] for line in platform.asked] == ["pull", "ack", "nack", "nack"]
    assert '"l-e3"' in platform.asked[-1]


def test_a_loop_that_is_stopped_asks_nothing() -> None:
    platform, stop = Recorded([["e1"]]), threading.Event()
    stop.set()
    subscribe.run(platform, "orders", lambda _: None, stop)
    assert platform.asked == []


def test_an_interrupt_is_no_failed_event() -> None:
    def handle(_: subscribe.Leased) -> None:
        raise KeyboardInterrupt

    platform = Recorded([["e1"]])
    with pytest.raises(KeyboardInterrupt):
        subscribe.run(platform, "orders", handle, threading.Event())
    assert len(platform.asked) == 1


def test_the_environment_names_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONDOL_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("ONDOL_TOKEN", "token")
    monkeypatch.delenv("ONDOL_SERVICE", raising=False)
    with pytest.raises(KeyError, match="ONDOL_SERVICE"):
        Platform.from_environment()
    monkeypatch.setenv("ONDOL_SERVICE", "points")
    assert Platform.from_environment().source == "/services/points"
