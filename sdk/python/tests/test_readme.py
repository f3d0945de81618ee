"""The README's examples do what it says."""

import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

import ondol
from ondol import Answer, BadKey, barrier, inbox

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def example(first: str, **known: Any) -> dict[str, Any]:
    """Runs the example that holds these words, with these names known to it."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    [text] = [block for block in blocks if first in block]
    names: dict[str, Any] = {"sqlite3": sqlite3, "psycopg": psycopg, "Mapping": Mapping, **known}
    exec(compile(text, "README.md", "exec"), names)  # noqa: S102 (our own text)
    return names


def test_the_barrier_charges_once_and_refunds_once() -> None:
    url = os.environ.get("CONFORMANCE_POSTGRES_URL")
    if not url:
        pytest.skip("CONFORMANCE_POSTGRES_URL is not set")
    done: list[str] = []

    def take(_: object, saga: str, amount: int) -> Answer:
        done.append(f"take {amount}")
        return Answer(201, {"id": saga})

    names = example("def charge", take=take, give_back=lambda _, saga: done.append(f"give back {saga}"))
    action, undo = ({"Idempotency-Key": f'"s1.pay.{op}"'} for op in ("action", "compensate"))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET search_path = pg_temp, public")
        barrier.create(db)
        assert [names["charge"](db, action, 30).status for _ in range(2)] == [201, 201]
        assert [names["refund"](db, undo).status for _ in range(2)] == [200, 200]
        assert done == ["take 30", "give back s1"]
        with pytest.raises(BadKey):
            names["charge"](db, {}, 30)


def test_an_event_that_is_pushed_twice_has_one_effect() -> None:
    given: list[Any] = []
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "e1",
        "ce-source": "/s",
        "ce-type": "a.v1",
        "ondol-caller": "ondol",
        "ondol-subscription": "points.orders",
    }
    on_event = example("def on_event", give_points=lambda _, data: given.append(data))["on_event"]
    db = sqlite3.connect(":memory:", isolation_level=None)
    inbox.create(db)
    assert [on_event(db, headers, b'{"n":1}') for _ in range(2)] == [204, 204]
    assert given == [{"n": 1}]
    db.close()


def test_what_is_relayed_is_deleted_until_nothing_is_left() -> None:
    class Relayed(ondol.Platform):
        def ask(self, *_: Any, **__: Any) -> Any:
            return {"relayed": 2500}

    db = sqlite3.connect(":memory:", isolation_level="IMMEDIATE")
    ondol.outbox.create(db)
    for _ in range(2600):
        ondol.outbox.enqueue(db, ondol.NewEvent("a.v1"))
    example("outbox.trim(", db=db, outbox=ondol.outbox, platform=Relayed("http://127.0.0.1:1", "t", "s"))
    assert db.execute("SELECT count(*) FROM ondol_outbox").fetchone() == (100,)
    db.close()
