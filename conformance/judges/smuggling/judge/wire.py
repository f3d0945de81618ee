"""HTTP/1.1 on a socket, as strict as RFC 9112 allows: what the judges' own client and recorder read with."""

import re
import socket
from dataclasses import dataclass

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: Longest head and longest body that are read; what is longer is an error of the other side.
_MAX_HEAD = 64 << 10
_MAX_BODY = 16 << 20


class Broken(Exception):
    """The other side does not speak HTTP/1.1; the text says how."""


class HeadCut(Broken):
    """The connection ended within a head."""

    def __init__(self, begun: bytes) -> None:
        super().__init__(f"cut within a head: {begun[:200]!r}")
        self.begun = begun


class Ended(Exception):
    """The connection ended between two messages."""


@dataclass
class Message:
    """A request or an answer: its first line, its fields in lower case, its body."""

    line: bytes
    fields: list[tuple[str, str]]
    body: bytes = b""

    def get(self, name: str) -> str:
        """The values of a field, joined."""
        return ", ".join(value for known, value in self.fields if known == name)


class Reader:
    """Takes messages from a socket. A timeout of the socket is the reader's."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def head(self) -> Message:
        """The next head; raises `Ended` where the connection ends before its first byte."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD:
                raise Broken("a head without an end")
            if not self._fill():
                if not self._buffer:
                    raise Ended
                raise HeadCut(self._buffer)
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        line, *lines = head.split(b"\r\n")
        if b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b"") or b"\0" in head:
            raise Broken(f"a bare CR, LF or NUL: {head!r}")
        return Message(line, [_field(line) for line in lines])

    def body(self, message: Message, *, until_end: bool) -> bytes:
        """The body that the head announces; `until_end`: without a length it ends with the connection."""
        lengths = [value for name, value in message.fields if name == "content-length"]
        codings = [value for name, value in message.fields if name == "transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise Broken(f"two lengths: {lengths} {codings}")
        if codings:
            if codings != ["chunked"]:
                raise Broken(f"not just chunked: {codings}")
            return self._chunked()
        if lengths:
            if not re.fullmatch("[0-9]{1,12}", lengths[0]):
                raise Broken(f"not a length: {lengths[0]!r}")
            return self._exactly(int(lengths[0]))
        if until_end:
            while self._fill():
                pass
            rest, self._buffer = self._buffer, b""
            return rest
        return b""

    def rest(self) -> bytes:
        """What comes until the other side ends the connection."""
        while self._fill():
            pass
        return self._buffer

    def _chunked(self) -> bytes:
        body = b""
        while True:
            line = self._line()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", line):
                raise Broken(f"not a chunk size: {line!r}")
            size = int(line, 16)
            if size == 0:
                while self._line():  # Trailers.
                    pass
                return body
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise Broken("a chunk longer than it says")

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD or not self._fill():
                raise Broken(f"cut within a line: {self._buffer[:200]!r}")
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if size > _MAX_BODY or not self._fill():
                raise Broken(f"a body of {size} bytes cut after {len(self._buffer)}")
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _fill(self) -> bool:
        try:
            piece = self._connection.recv(64 << 10)
        except ConnectionResetError:
            piece = b""
        self._buffer += piece
        return bool(piece)


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name):
        raise Broken(f"not a field: {line!r}")
    return name.decode().lower(), value.strip(b" \t").decode("latin-1")
