// What keeps an effect and its row together: refused outside a transaction, and never interleaved inside one.

import Database from 'libsql';
import { beforeEach, describe, expect, it } from 'vitest';
import { barrier, inbox, outbox, parseKey } from '../src/index.ts';

let db: Database.Database;
const key = parseKey('s1.pay.action');

beforeEach(() => {
  db = new Database(':memory:');
  barrier.create(db);
  inbox.create(db);
  outbox.create(db);
});

describe('outside a transaction', () => {
  it.each<[string, () => unknown]>([
    ['barrier.action', () => barrier.action(db, key)],
    [
      'barrier.store',
      () => {
        barrier.store(db, key, { status: 200, body: {} });
      },
    ],
    ['inbox.once', () => inbox.once(db, 's.n', 'e1')],
    ['outbox.enqueue', () => outbox.enqueue(db, { type: 'a.v1', data: 1 })],
  ])('%s is refused', (_, call) => {
    expect(call).toThrow('not in a transaction');
  });

  it('a pool of pg is refused before anything is sent', () => {
    const pool = { totalCount: 0, query: () => Promise.reject(new Error('was asked')) };
    expect(() => inbox.once(pool, 's.n', 'e1')).toThrow('a pool has no transaction');
  });
});

it('on SQLite every operation has ended when it returns, so nothing comes between', () => {
  db.exec('BEGIN IMMEDIATE');
  expect(barrier.action(db, key)).toEqual({ kind: 'first' });
  barrier.store(db, key, { status: 201, body: { id: 's1' } });
  expect(inbox.once(db, 's.n', 'e1')).toBe(true);
  expect(outbox.enqueue(db, { type: 'a.v1', id: 'e2', data: 1 })).toBe('e2');
  db.exec('COMMIT');
  db.exec('BEGIN IMMEDIATE');
  expect(barrier.action(db, key)).toEqual({ kind: 'duplicate', answer: { status: 201, body: { id: 's1' } } });
  expect(inbox.once(db, 's.n', 'e1')).toBe(false);
  db.exec('ROLLBACK');
});

it('what was relayed is deleted a thousand rows at a time', () => {
  db.exec('BEGIN IMMEDIATE');
  for (let n = 0; n < 1_500; n++) outbox.enqueue(db, { type: 'a.v1', data: n });
  expect([outbox.deleteRelayed(db, 1_400), outbox.deleteRelayed(db, 1_400)]).toEqual([1_000, 400]);
  db.exec('COMMIT');
});

it('a row that the relay would not take is refused', () => {
  db.exec('BEGIN IMMEDIATE');
  const row = (length: number) => outbox.enqueue(db, { type: 'a.v1', data: 'x'.repeat(length) });
  row(640 * 1024 - 4);
  expect(() => row(640 * 1024 - 3)).toThrow('more than 655360 bytes');
});
