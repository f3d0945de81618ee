"""Refusals as RFC 9457 problems.

The statuses are chosen for whoever pushes: 400, 413 and 422 say that this event can never be taken, 404 that the wiring is
wrong, 503 with `Retry-After` not now. So what may pass is never a 4xx.
"""

import logging
import sqlite3
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shop_points.worker import Busy

#: SQLite's primary result codes that may pass: busy, locked, I/O error, full.
_PASSING = {5, 6, 10, 13}

_log = logging.getLogger(__name__)


class Problem(Exception):
    """A refusal; raised by handlers, answered by `answer`."""

    def __init__(self, status: HTTPStatus, reason: str, title: str, *, retry_after: int | None = None) -> None:
        super().__init__(title)
        self.status = status
        self.reason = reason
        self.title = title
        self.retry_after = retry_after

    def response(self) -> Response:
        """As it is sent."""
        body = {"title": self.title, "status": self.status.value, "reason": self.reason}
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return JSONResponse(body, self.status.value, headers, media_type="application/problem+json")


def of(error: Exception) -> Problem:
    """What to answer; what is our own fault is written down here, and its cause never sent."""
    match error:
        case Problem():
            return error
        case HTTPException(status_code=status):
            words = HTTPStatus(status)
            return Problem(words, words.name.lower(), words.description or words.phrase)
        case Busy():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too much is waiting here", retry_after=1)
        case sqlite3.OperationalError() if error.sqlite_errorcode & 0xFF in _PASSING:
            _log.warning("database not available", exc_info=error)
            title = "The database cannot be used at the moment"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "database_unavailable", title, retry_after=1)
        case _:
            _log.error("request failed", exc_info=error)
            title = "Something went wrong here; it has been written down"
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", title)


async def answer(_: Request, error: Exception) -> Response:
    """As an exception handler of Starlette."""
    return of(error).response()
