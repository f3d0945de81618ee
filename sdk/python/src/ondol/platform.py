"""The platform's address and the way to ask it: one JSON call, tried again as long as that is safe and of use.

Every call of this package may be repeated: events are known by their ids, leases by theirs. So a lost answer, a 5xx and a
429 are tried again, at `Retry-After` where it is given. Both the number of tries and the time for all of them are bounded.

A `Platform` may be used by many threads; each has a connection of its own. It blocks: from asynchronous code call it
in a thread (`asyncio.to_thread`).
Tests: `conformance/sdk/cases/publish.json`.
"""

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

#: Longest pause before a try that nobody has set a time for, in seconds.
_MAX_PAUSE = 0.8

#: Longest answer that is read, in bytes: a page of events at its largest, and room.
_MAX_ANSWER = 16 * 1024 * 1024


class PlatformError(Exception):
    """The platform did not do what it was asked."""


class Unavailable(PlatformError):
    """It could not be asked, or not in time; what was sent may have arrived. `retry_after`: seconds, where it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(PlatformError):
    """It said no, and would again. `code` is the platform's, such as `AP-003`, where it gave one."""

    def __init__(self, status: int, code: str | None, title: str | None) -> None:
        super().__init__(f"{status} {code or ''}: {title or 'no reason given'}")
        self.status = status
        self.code = code


class BadAnswer(PlatformError):
    """It said yes in a way that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: float | None
    body: bytes


class Platform:
    """Where Ondol is and who is asking."""

    def __init__(self, url: str, token: str, service: str, *, attempts: int = 8, deadline: float = 30.0) -> None:
        """`url` and `token` as in ONDOL_URL and ONDOL_TOKEN; `deadline` in seconds, for all tries of a call together."""
        self.service = service
        self._url = urlsplit(url)
        self._token = token
        self._attempts = attempts
        self._deadline = deadline
        self._local = threading.local()

    @classmethod
    def from_environment(cls) -> Self:
        """Of the service that this process is an instance of. Raises `KeyError` naming the variable that is missing."""
        return cls(os.environ["ONDOL_URL"], os.environ["ONDOL_TOKEN"], os.environ["ONDOL_SERVICE"])

    @property
    def source(self) -> str:
        """The `source` of the service's events."""
        return f"/services/{self.service}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        waits: float = 0.0,
    ) -> Any:
        """Makes a call and gives the answer's JSON. `waits`: seconds that the answer may take by itself, as in a long poll.

        Raises `Refused`, `Unavailable`, `BadAnswer`.
        """
        ends = time.monotonic() + self._deadline + waits
        for attempt in range(1, self._attempts + 1):
            failure = None
            try:
                answer = self._try(method, path, body, headers or {}, max(ends - time.monotonic(), 0.001))
            except (OSError, http.client.HTTPException) as error:
                failure = Unavailable(f"{method} {path}: no answer: {error}")
                failure.__cause__ = error
            else:
                if answer.status < 500 and answer.status != 429:
                    return _read(answer)
                failure = Unavailable(f"{method} {path}: answered {answer.status}", answer.retry_after)
            pause = failure.retry_after
            if pause is None:
                pause = random.uniform(0, min(0.05 * 2**attempt, _MAX_PAUSE))  # noqa: S311 (no secret)
            if attempt == self._attempts or time.monotonic() + pause >= ends:
                raise failure
            time.sleep(pause)
        raise Unavailable(f"{method} {path}: no try was allowed")

    def _try(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> _Answer:
        connection = self._connection(timeout)
        whole = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", **headers}
        try:
            connection.request(method, self._url.path.rstrip("/") + path, body, whole)
            response = connection.getresponse()
            content = response.read(_MAX_ANSWER + 1)
        except BaseException:
            # Half a request or half an answer: nothing more can be said on this connection.
            connection.close()
            raise
        if len(content) > _MAX_ANSWER:
            connection.close()
            raise BadAnswer(f"{method} {path}: an answer of more than {_MAX_ANSWER} bytes")
        return _Answer(response.status, _seconds(response.getheader("Retry-After")), content)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        """This thread's, which reconnects by itself after `close`."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
            connection = self._local.connection = kind(self._url.hostname or "", self._url.port)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection


def _read(answer: _Answer) -> Any:
    try:
        value = json.loads(answer.body) if answer.body else None
    except ValueError as error:
        if answer.status < 300:
            raise BadAnswer(f"answered {answer.status} with what is no JSON") from error
        value = None
    if answer.status < 300:
        return value
    problem = value if isinstance(value, dict) else {}
    raise Refused(answer.status, problem.get("code"), problem.get("title"))


def _seconds(value: str | None) -> float | None:
    """`Retry-After` in seconds; the other form, a date, depends on two clocks and is not used."""
    return float(value) if value is not None and value.isascii() and value.isdigit() and len(value) <= 9 else None
