"""The inbox: one row for each event that a subscription has taken in, written in the transaction of the effect.

Delivery is at least once, so an event may come again: after a lost answer, a restart, a redrive. Whoever inserts its row
first has the effect; whoever finds it there answers 2xx and does nothing. Once the row and the effect share a transaction,
the effect happens once. What lies outside of it (a mail, another service) may still happen twice.

Rows are kept: a redrive or a reset may bring an event back long after. Nothing here deletes them.
Tests: `conformance/sdk/cases/inbox.json`.
"""

from ondol._database import Connection, execute, is_sqlite

#: The table. Run it at start (`create`) or put it into the service's migrations.
SCHEMA_SQLITE = """\
CREATE TABLE IF NOT EXISTS ondol_inbox (
    subscription TEXT NOT NULL, -- SERVICE.NAME
    event        TEXT NOT NULL, -- the event's id
    at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (subscription, event)
) WITHOUT ROWID"""

#: The same for PostgreSQL.
SCHEMA_POSTGRES = """\
CREATE TABLE IF NOT EXISTS ondol_inbox (
    subscription text NOT NULL, -- SERVICE.NAME
    event        text NOT NULL, -- the event's id
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription, event)
)"""

_TAKE = "INSERT INTO ondol_inbox (subscription, event) VALUES (?, ?) ON CONFLICT DO NOTHING"


def create(connection: Connection) -> None:
    """Makes the table where it is missing."""
    connection.execute(SCHEMA_SQLITE if is_sqlite(connection) else SCHEMA_POSTGRES)


def once(connection: Connection, subscription: str, event: str) -> bool:
    """Takes an event by its id: `True` the first time. `False`: it has had its effect, answer 2xx.

    One statement; on PostgreSQL it waits for a transaction that is taking the same event. Raises what the database raises.
    """
    return bool(execute(connection, _TAKE, (subscription, event)).rowcount == 1)
