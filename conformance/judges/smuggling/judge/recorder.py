"""A back end that is stricter than any real one: it writes down what it was sent, and what of that was not plain HTTP/1.1.

Run by Ondol as `python3 -m judge.recorder`. It answers as the real back ends do.
"""

import os
import re
import socket
import socketserver
from pathlib import Path

from .seen import Seen, write
from .wire import Broken, Ended, Message, Reader

#: Fields of one connection, which must not travel on (RFC 9110, 7.6.1), `te` aside.
_OF_ONE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings"}


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        connection: socket.socket = self.request
        reader = Reader(connection)
        while True:
            try:
                head = reader.head()
            except (Ended, OSError):
                return
            except Broken as error:
                write(_SEEN, Seen("", "", None, None, whole=False, wrong=str(error)))
                return
            words = head.line.decode("latin-1").split(" ")
            method, path = [*words, "", ""][:2]
            early = "/unread" in path
            try:
                body = reader.body(head, until_end=False)
            except (Broken, OSError) as error:
                # A body that is cut is how a proxy takes a request back: it must not be acted upon.
                write(_SEEN, Seen.of(method, path, b"", whole=False, wrong="" if "cut" in str(error) else str(error)))
                return
            write(_SEEN, Seen.of(method, path, None if early else body, whole=True, wrong=_wrong(words, head)))
            saw = f"{method} {path}".encode("latin-1")
            if path.endswith("/large"):
                _send_much(connection)
                return
            content = b"" if method == "HEAD" else saw
            fields = b"X-Saw: %b\r\nContent-Type: text/plain\r\nContent-Length: %d" % (saw, len(saw))
            connection.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (fields, content))


def _send_much(connection: socket.socket) -> None:
    """More than the buffers on the way take, for those who read slowly."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 33554432\r\n\r\n")
        for _ in range(512):
            connection.sendall(bytes(65536))
    except OSError:
        pass  # The reader is gone.


def _wrong(words: list[str], head: Message) -> str:
    """What a proxy must not have passed on; empty where all is well."""
    names = [name for name, _ in head.fields]
    if len(words) != 3 or words[2] != "HTTP/1.1" or not (words[1].startswith("/") or words[:2] == ["OPTIONS", "*"]):
        return f"the request line {head.line!r}"
    if names.count("host") != 1 or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]*", head.get("host")):
        return f"the Host {head.get('host')!r}"
    # A WebSocket is the one thing that may be asked for of the next connection.
    asks = (
        {"connection", "upgrade"}
        if head.get("connection").lower() == "upgrade" and head.get("upgrade") == "websocket"
        else set()
    )
    if kept := _OF_ONE_CONNECTION.intersection(names) - asks:
        return f"fields of one connection: {sorted(kept)}"
    if head.get("te") not in ("", "trailers"):
        return f"TE {head.get('te')!r}"
    return ""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    _SEEN = Path(os.environ["SEEN"])
    _Server(("127.0.0.1", int(os.environ["PORT"])), _Connection).serve_forever()
