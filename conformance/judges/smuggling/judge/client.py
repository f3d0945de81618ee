"""The judges' own client: sends bytes as they are, and takes every answer that comes."""

import socket
from contextlib import suppress
from dataclasses import dataclass, field

from .cases import Case
from .wire import Broken, Ended, HeadCut, Message, Reader

#: Longest wait for an answer, seconds. Nothing here is slow: who waits so long has misunderstood where a request ends.
PATIENCE = 10.0
#: Of a proxy that waits for more than it is sent, seconds.
_SILENCE = 3.0


@dataclass(frozen=True)
class Answer:
    """An answer, by what it says of itself."""

    status: int
    saw: str
    """`METHOD TARGET` as the back end saw it; empty where it is not a back end's."""
    own: bool
    """Whether the gateway made it."""
    last: bool = field(default=False, compare=False)
    """Whether it says that it is the connection's last."""


@dataclass
class Outcome:
    """What a client got for a case."""

    answers: list[Answer] = field(default_factory=list)
    ended: bool = False
    """Whether the other side ended the connection before the client did."""
    wrong: str = ""


def play(port: int, case: Case) -> Outcome:
    """Sends the case, takes as many answers as are due, ends its side, and takes what else there is."""
    outcome = Outcome()
    methods = [request.method for request in case.reads]
    due = len(methods) + (case.refusal is not None) + (case.innocent is not None)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        with suppress(OSError):  # Who is refused is not read to the end.
            connection.sendall(case.send)
        if case.client_ends:
            _end(connection)
        reader = Reader(connection)
        try:
            while True:
                if len(outcome.answers) == due:
                    if case.stays_open:
                        _end(connection)
                    due = -1
                at = len(outcome.answers)
                outcome.answers.append(_answer(reader, methods[at] if at < len(methods) else "GET"))
        except Ended:
            outcome.ended = due >= 0 or not case.stays_open
        except TimeoutError:
            outcome.wrong = f"waits in vain after {len(outcome.answers)} answers"
        except Broken as error:
            outcome.wrong = f"an answer that is none: {error}"
    return outcome


def play_through(port: int, case: Case) -> Outcome:
    """The same through a proxy whose reading is not known: until the innocent's answer, the end, or a long silence.

    What it did in the silence is in the logs, so the verdict does not depend on how long it was.
    """
    outcome = Outcome()
    last = f"GET {case.path}/after"
    with socket.create_connection(("127.0.0.1", port), timeout=_SILENCE) as connection:
        with suppress(OSError):
            connection.sendall(case.send)
        if case.client_ends:
            _end(connection)
        reader = Reader(connection)
        methods = [request.method for request in case.reads]
        try:
            while not outcome.answers or outcome.answers[-1].saw != last:
                at = len(outcome.answers)
                outcome.answers.append(_answer(reader, methods[at] if at < len(methods) else "GET"))
        except Ended:
            outcome.ended = True
        except (TimeoutError, ConnectionError):
            pass
        except Broken as error:
            # To HTTP/0.9 the answer is a body alone.
            if not isinstance(error, HeadCut) or error.begun.startswith(b"HTTP/"):
                outcome.wrong = f"an answer that is none: {error}"
    return outcome


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # The other side was faster.
        connection.shutdown(socket.SHUT_WR)


class Innocent:
    """A client that does nothing wrong, on a connection of its own, and knows its own answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None
        self._reader: Reader | None = None

    def ask(self, path: str) -> str:
        """One request; empty where the answer is its own, otherwise what was wrong."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
                self._reader = Reader(self._connection)
            assert self._reader is not None
            self._connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = _answer(self._reader, "GET")
        except (OSError, Broken, Ended) as error:
            self.end()
            return f"no answer: {error!r}"
        if answer.last:
            self.end()
        if (answer.status, answer.saw) != (200, f"GET {path}"):
            return f"another's answer: {answer.status} {answer.saw!r}"
        return ""

    def end(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._reader = None


def _answer(reader: Reader, method: str) -> Answer:
    while True:
        head = reader.head()
        status = _status(head)
        if status >= 200:
            break
    bodiless = method == "HEAD" or status in (204, 304)
    body = b"" if bodiless else reader.body(head, until_end=True)
    saw = head.get("x-saw")
    if saw and not bodiless and body.decode("latin-1") != saw:
        raise Broken(f"the head says {saw!r}, the body {body[:200]!r}")
    return Answer(status, saw, bool(head.get("proxy-status")), head.get("connection").lower() == "close")


def _status(head: Message) -> int:
    version, _, rest = head.line.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
        raise Broken(f"no status line: {head.line!r}")
    return int(rest[:3])
