"""What stands in for Ondol: records every request and answers from the case's list."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, Self

#: The bearer token that drivers are given.
TOKEN = "conformance-token"

#: Bytes of a body that are read. What an SDK may send is bounded by 4 MiB.
_MAX_BODY = 8 * 1024 * 1024


class Platform:
    """An HTTP server on loopback. A request for which no answer is left is told 500, and the case fails by its count."""

    def __init__(self) -> None:
        self._answers: list[dict[str, Any]] = []
        self._requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def script(self, answers: list[dict[str, Any]]) -> None:
        """The answers to the next requests, in order."""
        with self._lock:
            self._answers = list(answers)

    def take(self) -> list[dict[str, Any]]:
        """The requests since the last time."""
        with self._lock:
            taken, self._requests = self._requests, []
        for earlier, later in pairwise(taken):
            later["waited"] = later["at"] - earlier["at"]
        return taken

    def record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keeps a request and says what to answer."""
        with self._lock:
            self._requests.append({**request, "at": time.monotonic()})
            return self._answers.pop(0) if self._answers else {"status": 500, "body": {"title": "no answer left"}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def handle_any(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = self.rfile.read(min(length, _MAX_BODY))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = {"method": self.command, "path": self.path, "headers": headers, "body": _text(body)}
                self.reply(platform.record(request))

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def reply(self, answer: dict[str, Any]) -> None:
                if answer.get("lost"):
                    self.close_connection = True
                    return
                body = answer.get("body", {})
                payload = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(answer["status"])
                for name, value in {"Content-Type": "application/json", **answer.get("headers", {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Says nothing: a request that matters is in the case's report."""

        return Handler


def _text(body: bytes) -> str:
    """As text; bytes that are none are told as they are."""
    return body.decode("utf-8", errors="backslashreplace")
