"""Logs: one JSON object per line on standard output, with the trace id of the request that it is about.

The proxy writes the access log, so here is only what it cannot know: why something failed.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

#: The trace id of the request that is being handled: 32 hex digits, empty outside of one.
trace_id: ContextVar[str] = ContextVar("trace_id", default="")


class JsonLines(logging.Formatter):
    """A record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """With the exception's whole traceback as one member."""
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "target": record.name,
            "message": record.getMessage(),
        }
        if trace := trace_id.get():
            line["trace_id"] = trace
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start(level: str) -> None:
    """Starts logging. Raises `ValueError` for a level that there is not."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
