"""The outbox: events as rows of the service's own database, written in the transaction that makes them true.

Ondol relays committed rows to its log, those of one key in the order of `seq`; an aborted transaction leaves nothing to
relay. The manifest needs `outbox: true`. At least once: what was relayed may be relayed again and is known by its id.

Who deletes: on SQLite the service does, up to what the relay says it has (`relayed`, `trim`). On PostgreSQL the relay itself
does, row by row, and nobody else may: a transaction with a lower `seq` may commit after one with a higher.
Tests: `conformance/sdk/cases/outbox.json`.
"""

from ondol._database import Connection, execute, is_sqlite
from ondol.context import Context
from ondol.event import BadEvent, NewEvent, json_text
from ondol.platform import BadAnswer, Platform

#: The table. Run it at start (`create`) or put it into the service's migrations. AUTOINCREMENT: no number comes twice.
SCHEMA_SQLITE = """\
CREATE TABLE IF NOT EXISTS ondol_outbox (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT NOT NULL UNIQUE,
    type    TEXT NOT NULL,
    key     TEXT,
    source  TEXT,
    subject TEXT,
    data    TEXT NOT NULL,              -- JSON
    headers TEXT NOT NULL DEFAULT '{}', -- further attributes, a JSON object
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)"""

#: The same for PostgreSQL.
SCHEMA_POSTGRES = """\
CREATE TABLE IF NOT EXISTS ondol_outbox (
    seq     bigserial PRIMARY KEY,
    id      text NOT NULL UNIQUE,
    type    text NOT NULL,
    key     text,
    source  text,
    subject text,
    data    text NOT NULL,              -- JSON
    headers text NOT NULL DEFAULT '{}', -- further attributes, a JSON object
    created timestamptz NOT NULL DEFAULT now()
)"""

_INSERT = "INSERT INTO ondol_outbox (id, type, key, source, subject, data, headers) VALUES (?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM ondol_outbox WHERE seq IN (SELECT seq FROM ondol_outbox WHERE seq <= ? ORDER BY seq LIMIT ?)"

_COLUMNS = {"id", "type", "partitionkey", "source", "subject"}

#: Largest data and further attributes of a row together, in bytes: of a larger one Ondol makes a dead letter.
_LARGEST = 640 << 10


def create(connection: Connection) -> None:
    """Makes the table where it is missing."""
    connection.execute(SCHEMA_SQLITE if is_sqlite(connection) else SCHEMA_POSTGRES)


def enqueue(connection: Connection, event: NewEvent, context: Context = Context()) -> str:  # noqa: B008 (immutable)
    """Writes an event into the caller's transaction and gives its id. `context` is its cause; what the event says wins.

    Raises `BadEvent` (nothing is written) and what the database raises, such as for an id that is there already.
    """
    if isinstance(event.data, bytes):
        raise BadEvent("the outbox keeps JSON: publish bytes, or put them where an event can point to")
    attributes = context.attributes() | event.attributes()
    headers = json_text({name: value for name, value in attributes.items() if name not in _COLUMNS})
    data = json_text(event.data)
    if len(data.encode()) + len(headers.encode()) > _LARGEST:
        raise BadEvent(f"data and attributes have more than {_LARGEST} bytes: keep the data elsewhere and name the place")
    row = (event.id, event.type, event.key, event.source, event.subject, data, headers)
    execute(connection, _INSERT, row)
    return event.id


def relayed(platform: Platform) -> int:
    """Up to which `seq` Ondol has every row. Raises as `Platform.ask` does."""
    match platform.ask("GET", "/v1/outbox"):
        case {"relayed": int(seq)}:
            return seq
        case other:
            raise BadAnswer(f"expected how far the outbox is relayed: {other!r}"[:300])


def trim(connection: Connection, relayed: int, limit: int = 1000) -> int:
    """Deletes rows that are relayed, at most `limit`, so that no transaction grows long; gives how many went.

    On PostgreSQL always 0: there the relay deletes.
    """
    if not is_sqlite(connection):
        return 0
    return int(execute(connection, _DELETE, (relayed, limit)).rowcount)
