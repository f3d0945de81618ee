"""The driver of `conformance/sdk`: does by this SDK's public functions what it is told, line by line."""

import base64
import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ondol
from ondol import Answer, Context, NewEvent, SagaKey, barrier, inbox, outbox, subscribe

if TYPE_CHECKING:
    import psycopg

Line = dict[str, Any]


class Driver:
    """One connection and one platform, as `open` names them."""

    connection: "sqlite3.Connection | psycopg.Connection"
    platform: ondol.Platform

    def open(self, line: Line) -> Line:
        self.place = (line["ondol_url"], line["ondol_token"], line["service"])
        self.platform = ondol.Platform(*self.place)
        path = line["database"].removeprefix("sqlite://")
        if path != line["database"]:
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        else:
            import psycopg  # noqa: PLC0415 (only PostgreSQL needs it)

            self.connection = psycopg.connect(line["database"], autocommit=True)
        return {}

    def create(self, _: Line) -> Line:
        for part in (barrier, outbox, inbox):
            part.create(self.connection)
        return {}

    def begin(self, _: Line) -> Line:
        self.connection.execute("BEGIN IMMEDIATE" if isinstance(self.connection, sqlite3.Connection) else "BEGIN")
        return {}

    def commit(self, _: Line) -> Line:
        self.connection.execute("COMMIT")
        return {}

    def rollback(self, _: Line) -> Line:
        self.connection.execute("ROLLBACK")
        return {}

    def sql(self, line: Line) -> Line:
        self.connection.execute(line["sql"])
        return {}

    def barrier_key(self, line: Line) -> Line:
        key = SagaKey.from_headers(line["headers"])
        return {"saga": key.saga, "step": key.step, "operation": key.operation, "attempt": str(key.attempt)}

    def barrier_action(self, line: Line) -> Line:
        match barrier.action(self.connection, SagaKey.from_headers(line["headers"])):
            case barrier.First():
                return {"entry": "first"}
            case barrier.Duplicate(answer):
                return {"entry": "duplicate", "answer": _answer(answer)}
            case barrier.Late(answer):
                return {"entry": "late", "answer": _answer(answer)}

    def barrier_compensation(self, line: Line) -> Line:
        match barrier.compensation(self.connection, SagaKey.from_headers(line["headers"])):
            case barrier.Needed():
                return {"undo": "needed"}
            case barrier.NotNeeded():
                return {"undo": "not-needed"}
            case barrier.Duplicate(answer):
                return {"undo": "duplicate", "answer": _answer(answer)}

    def barrier_store(self, line: Line) -> Line:
        barrier.store(self.connection, SagaKey.from_headers(line["headers"]), Answer(**line["answer"]))
        return {}

    def outbox_enqueue(self, line: Line) -> Line:
        return {"id": outbox.enqueue(self.connection, _event(line["event"]), _context(line))}

    def outbox_relayed(self, _: Line) -> Line:
        return {"relayed": outbox.relayed(self.platform)}

    def outbox_trim(self, line: Line) -> Line:
        return {"deleted": outbox.trim(self.connection, line["relayed"])}

    def inbox_once(self, line: Line) -> Line:
        return {"first": inbox.once(self.connection, line["subscription"], line["event"])}

    def publish(self, line: Line) -> Line:
        limits = {name: line[name] for name in ("attempts", "deadline") if name in line}
        platform = ondol.Platform(*self.place, **limits)
        events = [_event(event) for event in line["events"] for _ in range(line.get("copies", 1))]
        published = ondol.publish(platform, events, _context(line), mode=line["mode"])
        return {"events": [{"id": p.id, "position": p.position, "duplicate": p.duplicate} for p in published]}

    def subscribe_read(self, line: Line) -> Line:
        push = subscribe.read(line["headers"], line["body"].encode(), line.get("subscription"))
        words = {"subscription": push.subscription, "attempt": str(push.attempt), "deadline_ms": push.deadline_ms}
        return {**words, "event": push.event.to_json()}

    def subscribe_pull(self, line: Line) -> Line:
        page = subscribe.pull(self.platform, line["name"], limit=line["limit"], wait=line["wait"], lease=line["lease"])
        return {"events": [{"lease": leased.lease, "event": leased.event.to_json()} for leased in page]}

    def subscribe_ack(self, line: Line) -> Line:
        subscribe.ack(self.platform, line["name"], line["leases"])
        return {}

    def subscribe_nack(self, line: Line) -> Line:
        words = {"delay": line["delay"], "reject": line["reject"]}
        subscribe.nack(self.platform, line["name"], line["leases"], line["reason"], **words)
        return {}

    def subscribe_run(self, line: Line) -> Line:
        handled: list[str] = []
        stop = threading.Event()

        def handle(leased: subscribe.Leased) -> None:
            handled.append(leased.event.id)
            if len(handled) >= line["stop_after"]:
                stop.set()
            match line["handle"][leased.event.id]:
                case {"then": "fail", "reason": reason}:
                    raise RuntimeError(reason)
                case {"then": "reject", "reason": reason}:
                    raise subscribe.Reject(reason)
                case {"then": "publish", "event": event}:
                    ondol.publish(self.platform, _event(event), leased.context)

        words = {"limit": line["limit"], "wait": line["wait"], "lease": line["lease"]}
        subscribe.run(self.platform, line["name"], handle, stop, **words)
        return {"handled": handled}


def _event(event: Line) -> NewEvent:
    named = {"type", "data", "data_base64", "id", "source", "subject", "partitionkey", "datacontenttype"}
    fields = {name: event[name] for name in ("data", "id", "source", "subject") if name in event}
    if "data_base64" in event:
        fields["data"] = base64.b64decode(event["data_base64"])
    return NewEvent(
        event["type"],
        key=event.get("partitionkey"),
        content_type=event.get("datacontenttype"),
        extensions={name: value for name, value in event.items() if name not in named},
        **fields,
    )


def _context(line: Line) -> Context:
    return Context.from_headers(line.get("request", {}))


def _answer(answer: Answer) -> Line:
    return {"status": answer.status, "body": answer.body}


def _error(error: Exception) -> Line:
    match error:
        case ondol.BadKey():
            words: Line = {"kind": "bad-key", "status": 400}
        case ondol.Refused():
            words = {"kind": "refused", "status": error.status, "code": error.code}
        case subscribe.BadRequest():
            words = {"kind": "bad-request", "status": error.status}
        case _:
            kinds = {
                barrier.WrongOperation: "wrong-operation",
                barrier.NoAnswer: "no-answer",
                barrier.NotEntered: "not-entered",
                ondol.BadEvent: "bad-event",
                ondol.Unavailable: "unavailable",
                ondol.BadAnswer: "bad-answer",
            }
            words = {"kind": kinds.get(type(error), "internal")}
    return {**words, "message": f"{type(error).__name__}: {error}"}


def _in_a_line(record: logging.LogRecord) -> bool:
    """Failures that the cases ask for are told without where they came from, so that others stand out."""
    record.exc_info = None
    return True


def main() -> None:
    """Answers each line until there are no more."""
    handler = logging.StreamHandler()
    handler.addFilter(_in_a_line)
    logging.basicConfig(handlers=[handler])
    driver = Driver()
    for text in sys.stdin:
        line = json.loads(text)
        work: Callable[[Line], Line] = getattr(driver, line["do"].replace(".", "_"))
        try:
            answer = {"id": line["id"], "ok": work(line)}
        except Exception as error:
            answer = {"id": line["id"], "error": _error(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
