// The mailboxes: one SQLite file, written in the transaction of the inbox, so that an event makes one mail.
//
// What must hold
// - A mail, the address learned with it and the inbox's row commit together; the commit is synced before anybody is told.
// - The newest KEPT mails of a customer are kept; older ones go with the commit of a new one. All that were ever written are
//   counted by the type of their event, in the same commit.
//
// Every statement runs to its end without returning to the event loop, so no two transactions of this process meet; another
// instance's wait for each other at BEGIN IMMEDIATE, up to BUSY_TIMEOUT.
//
// Tests: test/http.test.ts, test/process.test.ts.

import { inbox, type CloudEvent } from '@ondol/sdk';
import Database from 'libsql';
import type { Address, Letter } from './mail.ts';

/** Mails of one customer. */
export const KEPT = 1_000;

/** Milliseconds to wait for another instance's commit, during a replacement. */
const BUSY_TIMEOUT = 2_000;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS mails (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,            -- the event's
    type     TEXT NOT NULL,                   -- the event's
    customer TEXT NOT NULL,
    about    TEXT NOT NULL,                   -- an order's id, or the customer's own
    subject  TEXT NOT NULL,
    body     TEXT NOT NULL,
    at       TEXT NOT NULL,                   -- when it happened, RFC 3339
    read     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS mails_of_customer ON mails (customer, seq);
CREATE INDEX IF NOT EXISTS mails_unread ON mails (customer) WHERE read = 0;
CREATE TABLE IF NOT EXISTS written (
    type TEXT PRIMARY KEY,                    -- the event's
    n    INTEGER NOT NULL
) WITHOUT ROWID;
-- A file of the time before they were counted.
INSERT OR IGNORE INTO written (type, n) SELECT type, count(*) FROM mails GROUP BY type;
CREATE TABLE IF NOT EXISTS addresses (
    customer TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    email    TEXT NOT NULL
) WITHOUT ROWID;
`;

/** A mail as its reader sees it. */
export interface Shown {
  id: string;
  subject: string;
  body: string;
  at: string;
  read: boolean;
}

export interface Page {
  items: Shown[];
  /** Give it as `after`; null on the last page. */
  next: string | null;
  unread: number;
}

export class Mailboxes {
  readonly #db: Database.Database;

  /** Opens the file, made where it is missing. */
  constructor(path: string) {
    this.#db = new Database(path);
    this.#db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    this.#db.exec('PRAGMA journal_mode = WAL');
    this.#db.exec('PRAGMA synchronous = FULL');
    this.#db.exec(SCHEMA);
    inbox.create(this.#db);
  }

  /** Takes an event once: `write` makes its mail, in the transaction. False: it was taken before, nothing is done. */
  take(subscription: string, event: CloudEvent, write: () => Letter): boolean {
    return this.#transaction(() => {
      if (!inbox.once(this.#db, subscription, event.id)) return false;
      const { mail, address } = write();
      if (address) this.#remember(address);
      this.#run(
        'INSERT INTO mails (id, type, customer, about, subject, body, at) VALUES (?, ?, ?, ?, ?, ?, ?)',
        [event.id, event.type, mail.customer, mail.about, mail.subject, mail.body, momentOf(event)],
      );
      this.#run('INSERT INTO written (type, n) VALUES (?, 1) ON CONFLICT (type) DO UPDATE SET n = n + 1', [
        event.type,
      ]);
      this.#run(
        `DELETE FROM mails WHERE customer = ? AND seq <= (
           SELECT seq FROM mails WHERE customer = ? ORDER BY seq DESC LIMIT 1 OFFSET ${KEPT})`.replaceAll(
          '?1',
          '?',
        ),
        [mail.customer, mail.customer],
      );
      return true;
    });
  }

  /** Who this is, if a registration has told. */
  address(customer: string): Address | null {
    const [found] = this.#all<Address>('SELECT customer, name, email FROM addresses WHERE customer = ?', [
      customer,
    ]);
    return found ?? null;
  }

  /** A customer's mails, newest first, from below `after`. */
  page(customer: string, limit: number, after: number | null): Page {
    const rows = this.#all<Omit<Shown, 'read'> & { seq: number; read: number }>(
      'SELECT seq, id, subject, body, at, read FROM mails WHERE customer = ? AND seq < ? ORDER BY seq DESC LIMIT ?',
      [customer, after ?? Number.MAX_SAFE_INTEGER, limit + 1],
    );
    const items = rows.slice(0, limit);
    const next = rows.length > limit ? String(items.at(-1)?.seq) : null;
    const [counted] = this.#all<{ unread: number }>(
      'SELECT count(*) AS unread FROM mails WHERE customer = ? AND read = 0',
      [customer],
    );
    return {
      items: items.map(({ id, subject, body, at, read }) => ({ id, subject, body, at, read: read === 1 })),
      next,
      unread: counted?.unread ?? 0,
    };
  }

  /** Marks a customer's mail as read. False: this customer has no such mail. */
  markRead(customer: string, id: string): boolean {
    return this.#run('UPDATE mails SET read = 1 WHERE customer = ? AND id = ?', [customer, id]) === 1;
  }

  /** Mails ever written, by the type of their event, for whoever checks that every order was told of. */
  totals(): { mails: Record<string, number>; customers: number } {
    const counts = this.#all<{ type: string; n: number }>('SELECT type, n FROM written', []);
    const [customers] = this.#all<{ n: number }>('SELECT count(DISTINCT customer) AS n FROM mails', []);
    return {
      mails: Object.fromEntries(counts.map(({ type, n }) => [type, n])),
      customers: customers?.n ?? 0,
    };
  }

  close(): void {
    this.#db.close();
  }

  #remember({ customer, name, email }: Address): void {
    this.#run(
      `INSERT INTO addresses (customer, name, email) VALUES (?, ?, ?)
       ON CONFLICT (customer) DO UPDATE SET name = excluded.name, email = excluded.email`,
      [customer, name, email],
    );
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      // A failed COMMIT may have ended the transaction already.
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  #run(sql: string, params: unknown[]): number {
    return this.#db.prepare(sql).run(...params).changes;
  }

  #all<T>(sql: string, params: unknown[]): T[] {
    return this.#db.prepare(sql).all(...params) as T[];
  }
}

/** When it happened by the event; where it does not say, or nonsense, now. */
function momentOf({ time }: CloudEvent): string {
  const at = new Date(time ?? Date.now());
  return (Number.isNaN(at.valueOf()) ? new Date() : at).toISOString();
}

/** Whether trying again later may help: busy, locked, I/O error, disk full, read-only, cannot open. */
export function passes(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^SQLITE_(BUSY|LOCKED|IOERR|FULL|READONLY|CANTOPEN)/.test(code);
}
