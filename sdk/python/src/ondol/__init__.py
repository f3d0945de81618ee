"""What a service in Python needs to work with Ondol, in five parts.

`barrier` makes a saga's step happen once. `outbox` publishes in the service's own transaction. `inbox` takes an event in once.
`publish` publishes by HTTP. `subscribe` reads pushes and pulls.

No framework and no dependency: the parts that write take a connection of `sqlite3` or psycopg 3 and never begin, commit or
roll back; the parts that read requests take a mapping of headers and bytes.
"""

from ondol import barrier, inbox, outbox, subscribe
from ondol._database import Connection, NoTransaction
from ondol.answer import Answer
from ondol.context import Context
from ondol.event import BadEvent, Event, NewEvent
from ondol.key import Attempt, BadKey, Operation, SagaKey
from ondol.platform import BadAnswer, Platform, PlatformError, Refused, Unavailable
from ondol.publish import Published, publish

__all__ = [
    "Answer",
    "Attempt",
    "BadAnswer",
    "BadEvent",
    "BadKey",
    "Connection",
    "Context",
    "Event",
    "NewEvent",
    "NoTransaction",
    "Operation",
    "Platform",
    "PlatformError",
    "Published",
    "Refused",
    "SagaKey",
    "Unavailable",
    "barrier",
    "inbox",
    "outbox",
    "publish",
    "subscribe",
]
