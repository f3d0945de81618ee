"""The running program: what it answers, by its contract, to Ondol, to customers and to those who are neither."""

import contextlib
import json
import signal
import socket
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
import yaml
from service import PATIENCE, Reply, Service

CONTRACT = yaml.safe_load((Path(__file__).parent.parent / "openapi.yaml").read_text(encoding="utf-8"))
DATA = {"customer": "u1", "total": 4950, "currency": "EUR"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def expect(reply: Reply, path: str, method: str, status: int) -> Any:
    """The answer's body, when it is what the contract says of this path, method and status."""
    assert reply.status == status, reply
    said = CONTRACT["paths"][path][method]["responses"][str(status)]
    if "$ref" in said:
        said = CONTRACT["components"]["responses"][said["$ref"].rpartition("/")[2]]
    if "content" in said:
        [(media_type, content)] = said["content"].items()
        assert reply.headers["content-type"] == media_type
        jsonschema.validate(reply.body, {**content["schema"], "components": CONTRACT["components"]})
    return reply.body


def test_points_are_given_and_seen(service: Service) -> None:
    expect(service.push("e1", "1", DATA | {"payment": "c1", "more": [1]}), "/internal/events", "post", 204)
    reply = service.ask("GET", "/api/points", {"Ondol-Subject": "u1"})
    assert expect(reply, "/api/points", "get", 200) == {"balance": 49}
    assert service.balance("nobody yet") == 0
    totals = expect(service.ask("GET", "/internal/totals"), "/internal/totals", "get", 200)
    assert totals == {"orders": 1, "total": 4950, "points": 49, "balances": 49}


def test_duplicates_and_old_events_again_change_nothing(service: Service) -> None:
    for n in range(5):
        assert service.push(f"e{n}", str(n), DATA).status == 204
    before = service.totals()
    # Redelivered out of order, after a reset of the subscription; and an order that is confirmed by another event.
    for event, order in [("e3", "3"), ("e0", "0"), ("e4", "4"), ("e0", "0"), ("other", "2")]:
        assert service.push(event, order, DATA | {"total": 100}).status == 204
    assert service.totals() == before


def test_nobody_is_told_the_points_of_nobody(service: Service) -> None:
    for headers in ({}, {"Ondol-Subject": " "}):
        assert expect(service.ask("GET", "/api/points", headers), "/api/points", "get", 401)["reason"] == "unauthorized"


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        ({"payment": "c1", "shipment": "s1"}, {}, 422),
        (DATA | {"total": "4950"}, {}, 422),
        (b"", {}, 422),
        (b"[" * 5000, {}, 400),
        (b'{"total":', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"<order/>", {"content_type": "text/xml"}, 422),
        (DATA, {"ce_stream": "", "ce_partitionkey": ""}, 422),
        (DATA, {"ce_id": ""}, 400),
        (DATA, {"ce_id": "%FF"}, 400),
        (DATA, {"ce_specversion": "2.0"}, 400),
        (DATA, {"ce_position": "twelve"}, 400),
        (DATA, {"content_type": "application/cloudevents+json"}, 400),
        (DATA, {"ondol_subscription": ""}, 400),
        (DATA, {"ondol_caller": ""}, 403),
        (DATA, {"ondol_caller": "orders"}, 403),
        (DATA, {"ondol_subscription": "points.refunds"}, 404),
        (DATA, {"ce_type": "order.placed.v1"}, 404),
        (b'{"customer":"' + b"u" * 100_000 + b'"}', {}, 413),
    ],
)
def test_what_can_never_be_taken_is_refused_and_leaves_nothing(
    service: Service, data: Any, headers: dict[str, str], status: int
) -> None:
    reply = service.push("e1", "1", data, None, **headers)
    body = expect(reply, "/internal/events", "post", status)
    assert body["status"] == status
    assert service.totals()["orders"] == 0
    # It was the event that was wrong: a right one with the same id is the first of its kind.
    assert service.push("e1", "1", DATA).status == 204
    assert service.balance("u1") == 49


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/internal/events", 405)])
def test_unknown_paths_and_methods_are_problems(service: Service, method: str, path: str, status: int) -> None:
    reply = service.ask(method, path)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert reply.body["status"] == status


def test_a_body_without_end_is_cut(service: Service) -> None:
    head = "POST /internal/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as endless:
        endless.sendall(head.encode())
        with contextlib.suppress(OSError):  # It may be cut while we are still sending.
            for _ in range(100):
                endless.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert endless.recv(1024).startswith(b"HTTP/1.1 413 ")
    assert service.push("e1", "1", DATA).status == 204


def test_a_client_that_goes_away_harms_nothing(service: Service) -> None:
    for sent in (b"POST /internal/ev", b"POST /internal/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as leaver:
            leaver.sendall(sent)
    assert service.push("e1", "1", DATA).status == 204
    code, lines = service.stop(signal.SIGTERM)
    assert (code, [line for line in lines if line["level"] == "ERROR"]) == (0, [])


def test_a_failure_is_logged_with_its_trace_and_told_without_its_cause(service: Service) -> None:
    with sqlite3.connect(service.file) as other:
        other.execute("CREATE TRIGGER broken BEFORE INSERT ON award BEGIN SELECT raise(ABORT, 'secret words'); END")
    other.close()
    reply = service.push("e1", "1", DATA, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    assert (reply.status, reply.body["reason"]) == (500, "internal")
    assert "secret" not in str(reply.body)
    _, lines = service.stop(signal.SIGTERM)
    [line] = [line for line in lines if line["level"] == "ERROR"]
    assert line["trace_id"] == TRACE
    assert "secret words" in line["error"]


def test_a_stop_lets_end_what_has_begun(service: Service) -> None:
    assert service.process is not None
    lock = sqlite3.connect(service.file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as thread:
        pushed = thread.submit(service.push, "e1", "1", DATA, sent := threading.Event())
        assert sent.wait(PATIENCE)
        # It was there before this was asked, so it is being handled when this is answered: now it waits for the lock.
        assert service.ask("GET", "/health").status == 200
        service.process.send_signal(signal.SIGTERM)
        lock.close()
        assert pushed.result(PATIENCE).status == 204
    assert service.end()[0] == 0
    service.start()
    assert service.balance("u1") == 49


def test_a_file_that_stays_locked_is_a_503_that_says_when(service: Service) -> None:
    with contextlib.closing(sqlite3.connect(service.file, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        body = expect(reply := service.push("e1", "1", DATA), "/internal/events", "post", 503)
    assert (body["reason"], reply.headers["retry-after"]) == ("database_unavailable", "1")
    assert service.push("e1", "1", DATA).status == 204


def test_awards_can_be_compared_page_by_page(service: Service) -> None:
    for order in ("b", "c", "a"):
        assert service.push(f"e-{order}", order, DATA).status == 204
    path = "/internal/reconcile/awards"
    first = expect(service.ask("GET", f"{path}?limit=2"), path, "get", 200)
    assert ([item["key"] for item in first["items"]], first["next"]) == (["a", "b"], "b")
    assert (first["items"][0]["total"], first["items"][0]["points"]) == (4950, 49)
    rest = expect(service.ask("GET", f"{path}?after=b"), path, "get", 200)
    assert ([item["key"] for item in rest["items"]], rest["next"]) == (["c"], None)
    for limit in ("0", "1001", "ten", "-1", "٣"):
        refused = service.ask("GET", f"{path}?limit={quote(limit)}")
        assert expect(refused, path, "get", 400)["reason"] == "bad_query"


def test_points_that_were_missed_are_given_once_by_whoever_tells(service: Service) -> None:
    path = "/internal/awards/{order}"
    headers = {"Idempotency-Key": '"saga-1.award.action"'}

    def give(order: str, body: Any, headers: dict[str, str]) -> Reply:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return service.ask("PUT", f"/internal/awards/{order}", headers, content)

    answers = [expect(give("1", DATA, headers), path, "put", 200) for _ in range(2)]
    assert answers == [{"order": "1", "given": True}, {"order": "1", "given": False}]
    # The event comes after all.
    assert service.push("e1", "1", DATA).status == 204
    assert service.balance("u1") == 49
    for body, status in [(DATA | {"total": -1}, 422), (b"{", 400), (b"[" * 100_000, 413)]:
        expect(give("2", body, headers), path, "put", status)
    expect(give("2", DATA, {}), path, "put", 400)
    assert service.totals()["orders"] == 1
