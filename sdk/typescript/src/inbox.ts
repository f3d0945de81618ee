// The inbox: events are delivered at least once; a row in the transaction of the effect makes the effect happen once.
//
// What must hold: `once` runs in the caller's transaction, before the effect, and everything commits together. When it
// says false the event was taken before: do nothing and answer 2xx.
//
// Rows may be deleted once an event can no longer be delivered again; how long that is, is the service's to say (a redrive
// of a dead letter may come weeks later). Nothing here deletes them. Tests: test/transaction.test.ts, conformance/.

import { createTable, run, type Database, type Given, type Plan } from './database.ts';

/** The table. Make it at start ({@link create}) or put it into the service's migrations. */
export const SCHEMA = {
  sqlite: `\
CREATE TABLE IF NOT EXISTS ondol_inbox (
    subscription TEXT NOT NULL,
    event        TEXT NOT NULL,
    at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    PRIMARY KEY (subscription, event)
) WITHOUT ROWID`,
  postgres: `\
CREATE TABLE IF NOT EXISTS ondol_inbox (
    subscription text NOT NULL,
    event        text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription, event)
)`,
};

/** Makes the table where it is missing. */
export function create<D extends Database>(db: D): Given<D, void> {
  return createTable(db, SCHEMA);
}

/** Takes an event for this subscription. True: it is the first time, do the effect. False: it has been done. */
export function once<D extends Database>(db: D, subscription: string, eventId: string): Given<D, boolean> {
  return run(db, take(subscription, eventId));
}

function* take(subscription: string, event: string): Plan<boolean> {
  const { changes } = yield {
    sql: 'INSERT INTO ondol_inbox (subscription, event) VALUES (?, ?) ON CONFLICT DO NOTHING',
    params: [subscription, event],
  };
  return changes === 1;
}
