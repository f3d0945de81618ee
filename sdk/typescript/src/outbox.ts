// The outbox: an event as a row of the service's own database, in the transaction of what it tells of.
//
// The row commits with the effect or not at all; Ondol's relay publishes it after that, in the order of `seq` for each
// key. The service's manifest says `outbox: true`. On PostgreSQL the relay deletes the rows; on SQLite it only reads, and
// the service deletes what `GET /v1/outbox` says was relayed ({@link relayed}, {@link deleteRelayed}).
//
// What must hold: `enqueue` runs in the caller's transaction. Nothing else is needed: no order of calls, no clean-up after
// a crash. Tests: test/transaction.test.ts, conformance/.

import { createTable, isSqlite, run, type Database, type Given, type Plan } from './database.ts';
import { attributesOf, BadEvent, check, isJson, type NewEvent } from './event.ts';
import type { HeaderSource } from './headers.ts';
import { BadAnswer, type Patience, type Platform } from './platform.ts';

/** The table. Make it at start ({@link create}) or put it into the service's migrations. */
export const SCHEMA = {
  sqlite: `\
CREATE TABLE IF NOT EXISTS ondol_outbox (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT NOT NULL UNIQUE,
    type    TEXT NOT NULL,
    key     TEXT,
    source  TEXT,
    subject TEXT,
    data    TEXT NOT NULL,
    headers TEXT NOT NULL DEFAULT '{}',
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)`,
  postgres: `\
CREATE TABLE IF NOT EXISTS ondol_outbox (
    seq     bigserial PRIMARY KEY,
    id      text NOT NULL UNIQUE,
    type    text NOT NULL,
    key     text,
    source  text,
    subject text,
    data    text NOT NULL,
    headers text NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now()
)`,
};

/** Largest data and further attributes of a row together, in bytes: of a larger one Ondol makes a dead letter. */
const LARGEST = 640 * 1024;

/** Makes the table where it is missing. */
export function create<D extends Database>(db: D): Given<D, void> {
  return createTable(db, SCHEMA);
}

export interface EnqueueOptions {
  /** The request that is being handled: its trace, correlation and causation become the event's. Of an event: `causedBy(event)`. */
  request?: HeaderSource;
}

/**
 * Puts an event into the outbox, in the caller's transaction; gives its id.
 *
 * Throws `BadEvent`; the same id twice is an error of the database.
 */
export function enqueue<D extends Database>(
  db: D,
  event: NewEvent,
  options: EnqueueOptions = {},
): Given<D, string> {
  return run(db, insert({ ...(options.request && attributesOf(options.request)), ...event }));
}

function* insert(event: NewEvent): Plan<string> {
  const { id, type, attributes, data } = check(event);
  const { partitionkey, source, subject, time, ...headers } = attributes;
  if (time !== undefined) {
    throw new BadEvent(
      'the time of an event in the outbox is that of its row: leave it out, or name it in the data',
    );
  }
  const contentType = headers['datacontenttype'];
  if (data instanceof Uint8Array || (contentType !== undefined && !isJson(String(contentType)))) {
    throw new BadEvent(
      'data in the outbox is JSON: publish other data, or keep it elsewhere and name the place',
    );
  }
  const [content, further] = [JSON.stringify(data ?? null), JSON.stringify(headers)];
  if (Buffer.byteLength(content) + Buffer.byteLength(further) > LARGEST) {
    throw new BadEvent(
      `data and attributes have more than ${LARGEST} bytes: keep the data elsewhere and name the place`,
    );
  }
  const text = (value: string | number | boolean | undefined) => (value === undefined ? null : String(value));
  yield {
    sql: 'INSERT INTO ondol_outbox (id, type, key, source, subject, data, headers) VALUES (?, ?, ?, ?, ?, ?, ?)',
    params: [id, type, text(partitionkey), text(source), text(subject), content, further],
  };
  return id;
}

/** Up to which `seq` the relay has published this service's rows. */
export async function relayed(platform: Platform, patience: Patience = {}): Promise<number> {
  const answer = await platform.call('GET', '/v1/outbox', patience);
  if (!Number.isSafeInteger(answer['relayed']))
    throw new BadAnswer('the platform does not say how far it has relayed');
  return Number(answer['relayed']);
}

/**
 * Deletes rows up to `seq` on SQLite; how many there were, 1,000 at most, so that no other writer waits for long.
 *
 * On PostgreSQL the relay deletes, and nobody else may: a row with a lower number may be committed later.
 */
export function deleteRelayed<D extends Database>(db: D, seq: number): Given<D, number> {
  return run(db, remove(isSqlite(db), seq));
}

function* remove(sqlite: boolean, seq: number): Plan<number> {
  if (!sqlite) return 0;
  const { changes } = yield {
    sql: 'DELETE FROM ondol_outbox WHERE seq IN (SELECT seq FROM ondol_outbox WHERE seq <= ? ORDER BY seq LIMIT 1000)',
    params: [seq],
  };
  return changes;
}
