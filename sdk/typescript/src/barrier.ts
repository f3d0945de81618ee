// The barrier: one table, in the participant's own database, written in the transaction of the effect.
//
// Insert first, ask afterwards. A row `(saga, step, op)` is the slot of one operation; whoever inserts it owns it. An
// action takes its slot. A compensation takes the *action's* slot too, so that an action which never came can never come
// later; then it takes its own.
//
// | who comes                     | finds                            | does                    |
// |-------------------------------|----------------------------------|-------------------------|
// | action                        | nothing                          | the effect              |
// | action again                  | its own row                      | gives the stored answer |
// | action after its compensation | the slot taken by `compensate`   | nothing, 409            |
// | compensation                  | the action's row, a stored 2xx   | undoes it               |
// | compensation                  | no action, or one that was refused | nothing, 200          |
// | compensation again            | its own row                      | gives the stored answer |
//
// What must hold
// - The row and the effect commit together, or neither. On SQLite the transaction begins with BEGIN IMMEDIATE.
// - A compensation always does both inserts, and undoes only an action whose stored answer is a 2xx.
// - A definite failure (400, 409, 422) of an action that can be compensated, or of a pivot, is stored like a success. A
//   retriable step or a compensation that fails, and every 5xx, stores nothing: roll back.
//
// Rows are kept as long as a saga's start key can be repeated; nothing here deletes them.
// The same on every database and in every language: docs/concepts/barrier.md. Tests: test/transaction.test.ts, conformance/.

import { isSuccess, type Answer } from './answer.ts';
import { createTable, run, type Database, type Given, type Plan, type Row } from './database.ts';
import { keyText, type Operation, type SagaKey } from './saga-key.ts';

/** The table. Make it at start ({@link create}) or put it into the service's migrations. */
export const SCHEMA = `\
CREATE TABLE IF NOT EXISTS ondol_barrier (
    saga    TEXT NOT NULL,
    step    TEXT NOT NULL,
    op      TEXT NOT NULL, -- whose slot: action or compensate
    by_op   TEXT NOT NULL, -- who took it
    attempt TEXT NOT NULL, -- <epoch>.<n> of the one that took it
    status  BIGINT,        -- the answer, once there is one
    answer  TEXT,
    PRIMARY KEY (saga, step, op)
)`;

/** What an action finds. */
export type Entry =
  /** Nothing has happened yet: do the effect, then {@link store} the answer, then commit. */
  | { kind: 'first' }
  /** It has been done or refused before: give this answer. */
  | { kind: 'duplicate'; answer: Answer }
  /** The compensation was here first: do nothing and give `late()`. */
  | { kind: 'late' };

/** What a compensation finds. */
export type Undo =
  /** The action took effect: undo it, {@link store} the answer, commit. */
  | { kind: 'needed' }
  /** There is nothing to undo: {@link store} a 200 and commit all the same, since that closes the action's slot. */
  | { kind: 'not-needed' }
  /** Undone before: give this answer. */
  | { kind: 'duplicate'; answer: Answer };

/** A mistake of the handler, never of the caller. Roll back and answer 500. */
export class BarrierError extends Error {
  override name = 'BarrierError';
  readonly kind: 'wrong-operation' | 'no-answer' | 'not-entered';

  constructor(kind: BarrierError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Makes the table where it is missing. */
export function create<D extends Database>(db: D): Given<D, void> {
  return createTable(db, SCHEMA);
}

/** Enters an action. Two statements at most; on PostgreSQL it waits for a transaction that holds the same slot. */
export function action<D extends Database>(db: D, key: SagaKey): Given<D, Entry> {
  return run(db, enter(key));
}

/** Enters a compensation: always both inserts, three statements at most. */
export function compensation<D extends Database>(db: D, key: SagaKey): Given<D, Undo> {
  return run(db, undo(key));
}

/** Keeps the answer in the row that the key has entered in this transaction. */
export function store<D extends Database>(db: D, key: SagaKey, answer: Answer): Given<D, void> {
  return run(db, keep(key, answer));
}

function* enter(key: SagaKey): Plan<Entry> {
  expect(key, 'action');
  if (yield* claim(key, 'action')) return { kind: 'first' };
  const row = yield* read(key, 'action');
  return row['by_op'] === 'action' ? { kind: 'duplicate', answer: stored(key, row) } : { kind: 'late' };
}

function* undo(key: SagaKey): Plan<Undo> {
  expect(key, 'compensate');
  yield* claim(key, 'action');
  if (!(yield* claim(key, 'compensate'))) {
    return { kind: 'duplicate', answer: stored(key, yield* read(key, 'compensate')) };
  }
  const row = yield* read(key, 'action');
  const done = row['by_op'] === 'action' && row['status'] !== null && isSuccess(stored(key, row));
  return { kind: done ? 'needed' : 'not-needed' };
}

function* keep(key: SagaKey, { status, body }: Answer): Plan<void> {
  const { changes } = yield {
    sql: 'UPDATE ondol_barrier SET status = ?, answer = ? WHERE saga = ? AND step = ? AND op = ?',
    params: [status, JSON.stringify(body), key.saga, key.step, key.operation],
  };
  if (changes === 0) {
    throw new BarrierError(
      'not-entered',
      `step ${keyText(key)} has no row to keep its answer in: enter it first`,
    );
  }
}

function* claim(key: SagaKey, slot: Operation): Plan<boolean> {
  const { changes } = yield {
    sql: 'INSERT INTO ondol_barrier (saga, step, op, by_op, attempt) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    params: [key.saga, key.step, slot, key.operation, key.attempt],
  };
  return changes === 1;
}

function* read(key: SagaKey, slot: Operation): Plan<Row> {
  const { rows } = yield {
    sql: 'SELECT by_op, status, answer FROM ondol_barrier WHERE saga = ? AND step = ? AND op = ?',
    params: [key.saga, key.step, slot],
  };
  const [row] = rows;
  if (!row)
    throw new BarrierError(
      'not-entered',
      `the row of ${keyText(key)} is gone: nothing may delete from ondol_barrier`,
    );
  return row;
}

function stored(key: SagaKey, { status, answer }: Row): Answer {
  if (status === null || typeof answer !== 'string') {
    throw new BarrierError(
      'no-answer',
      `step ${keyText(key)} was committed without an answer: store it before the commit`,
    );
  }
  return { status: Number(status), body: JSON.parse(answer) as unknown };
}

function expect(key: SagaKey, operation: Operation): void {
  if (key.operation !== operation)
    throw new BarrierError('wrong-operation', `the key ${keyText(key)} is for the other operation`);
}
