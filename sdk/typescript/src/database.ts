// One set of statements for both kinds of database: a synchronous SQLite handle and a PostgreSQL client.
//
// Each operation of this package is a plan: a generator that yields statements and is given what came of them. On SQLite
// it runs to its end without ever returning to the event loop, so that no other request's statement slips into the
// caller's transaction; on PostgreSQL each statement is awaited.
//
// What must hold: whatever belongs to an effect runs inside the caller's transaction, on the connection of that
// transaction. A SQLite handle outside one, and a pool instead of a client, are refused.

/** What a column may hold here. */
export type Value = string | number | null;
export type Row = Record<string, unknown>;

/** A handle of better-sqlite3, or of what has its interface (libsql, `DatabaseSync` of node:sqlite). */
export interface SqliteHandle {
  prepare(sql: string): {
    run(...params: Value[]): { changes: number | bigint };
    all(...params: Value[]): unknown[];
  };
  exec(sql: string): unknown;
  /** better-sqlite3 and libsql. */
  readonly inTransaction?: boolean;
  /** node:sqlite. */
  readonly isTransaction?: boolean;
}

/** A client of `pg`: a `Client`, or one that `Pool.connect` gave. */
export interface PgClient {
  query(text: string, values?: Value[]): Promise<{ rowCount: number | null; rows: unknown[] }>;
}

export type Database = SqliteHandle | PgClient;

/** What an operation gives: at once on SQLite, a promise on PostgreSQL. `await` does for both. */
export type Given<D extends Database, T> = D extends SqliteHandle ? T : Promise<T>;

/** One statement; every `?` in `sql` is a parameter. */
export interface Statement {
  sql: string;
  params: Value[];
}

export interface Outcome {
  /** Rows inserted, updated or deleted. */
  changes: number;
  /** Of a `SELECT`. */
  rows: Row[];
}

export type Plan<T> = Generator<Statement, T, Outcome>;

export const isSqlite = (db: Database): db is SqliteHandle => 'prepare' in db;

/** Runs the statements of one operation inside the caller's transaction. */
export function run<D extends Database, T>(db: D, plan: Plan<T>): Given<D, T> {
  if (isSqlite(db)) {
    if (!(db.inTransaction ?? db.isTransaction ?? true)) {
      throw new Error('not in a transaction: begin one (BEGIN IMMEDIATE) and do the effect in it, too');
    }
    return runAtOnce(db, plan) as Given<D, T>;
  }
  if ('totalCount' in db) {
    throw new TypeError('a pool has no transaction: take a client from it, BEGIN, and pass the client');
  }
  return runAwaiting(db, plan) as Given<D, T>;
}

function runAtOnce<T>(db: SqliteHandle, plan: Plan<T>): T {
  let step = plan.next();
  while (!step.done) {
    const { sql, params } = step.value;
    const statement = db.prepare(sql);
    step = plan.next(
      isRead(sql)
        ? { changes: 0, rows: statement.all(...params) as Row[] }
        : { changes: Number(statement.run(...params).changes), rows: [] },
    );
  }
  return step.value;
}

async function runAwaiting<T>(client: PgClient, plan: Plan<T>): Promise<T> {
  let step = plan.next();
  while (!step.done) {
    const { sql, params } = step.value;
    let count = 0;
    const numbered = sql.replaceAll('?', () => `$${String(++count)}`);
    const { rowCount, rows } = await client.query(numbered, params);
    step = plan.next({ changes: isRead(sql) ? 0 : (rowCount ?? 0), rows: rows as Row[] });
  }
  return step.value;
}

const isRead = (sql: string): boolean => sql.startsWith('SELECT');

/** A table's definition; one text for both databases, or one for each. */
export type Schema = string | { sqlite: string; postgres: string };

/** Makes a table where it is missing. For the service's start, outside any transaction or in one. */
export function createTable<D extends Database>(db: D, schema: Schema): Given<D, void> {
  const text = (dialect: 'sqlite' | 'postgres') => (typeof schema === 'string' ? schema : schema[dialect]);
  if (isSqlite(db)) {
    db.exec(text('sqlite'));
    return undefined as Given<D, void>;
  }
  return db.query(text('postgres')).then(() => undefined) as Given<D, void>;
}
