// The driver of conformance/sdk: does by this package's public functions what it is told, line by line.
//
// Databases by `libsql` and `pg`, as a service would use them. Nothing is checked here; that is the runner's work.

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import pg from 'pg';
import * as sdk from '../dist/index.js';

/** @typedef {Record<string, any>} Line */

/** @type {any} */ let db;
/** @type {sdk.Platform} */ let platform;

/** @type {Record<string, (line: Line) => unknown>} */
const does = {
  async open({ database, ondol_url, ondol_token, service }) {
    platform = new sdk.Platform({ url: ondol_url, token: ondol_token, service });
    db = database.startsWith('sqlite:') ? openSqlite(database) : await openPostgres(database);
  },
  async create() {
    await sdk.barrier.create(db);
    await sdk.outbox.create(db);
    await sdk.inbox.create(db);
  },
  begin: () => execute('exec' in db ? 'BEGIN IMMEDIATE' : 'BEGIN'),
  commit: () => execute('COMMIT'),
  rollback: () => execute('ROLLBACK'),
  sql: ({ sql }) => execute(sql),

  'barrier.key': ({ headers }) => sdk.keyOf(headers),
  async 'barrier.action'({ headers }) {
    const entry = await sdk.barrier.action(db, sdk.keyOf(headers));
    return { ...entry, entry: entry.kind, ...(entry.kind === 'late' && { answer: sdk.late() }) };
  },
  async 'barrier.compensation'({ headers }) {
    const undo = await sdk.barrier.compensation(db, sdk.keyOf(headers));
    return { ...undo, undo: undo.kind };
  },
  'barrier.store': ({ headers, answer }) => sdk.barrier.store(db, sdk.keyOf(headers), answer),

  'outbox.enqueue': async ({ event, request }) => ({
    id: await sdk.outbox.enqueue(db, eventOf(event), { request }),
  }),
  'outbox.relayed': async () => ({ relayed: await sdk.outbox.relayed(platform) }),
  'outbox.trim': async ({ relayed }) => ({ deleted: await sdk.outbox.deleteRelayed(db, relayed) }),
  'inbox.once': async ({ subscription, event }) => ({ first: await sdk.inbox.once(db, subscription, event) }),

  async publish({ mode, events, copies = 1, request, attempts, deadline }) {
    const options = { request, attempts, deadline: deadline && deadline * 1000 };
    const all = Array.from({ length: copies }, () => events)
      .flat()
      .map(eventOf);
    if (mode === 'batch') return { events: await sdk.publishBatch(platform, all, options) };
    return {
      events: [await sdk.publish(platform, /** @type {sdk.NewEvent} */ (all[0]), { ...options, mode })],
    };
  },

  'subscribe.read'({ headers, body, subscription: expected }) {
    const { event, subscription, attempt, deadline } = sdk.parsePush(headers, Buffer.from(body), expected);
    return { event: shown(event), subscription, attempt, deadline_ms: deadline };
  },
  async 'subscribe.pull'({ name, limit, wait, lease }) {
    const page = { limit, wait: wait * 1000, lease: lease * 1000 };
    return { events: await new sdk.Subscription(platform, name).pull(page) };
  },
  'subscribe.ack': ({ name, leases }) => new sdk.Subscription(platform, name).ack(leases),
  'subscribe.nack': ({ name, leases, delay, reject, reason }) =>
    new sdk.Subscription(platform, name).nack(leases, { delay: delay * 1000, reject, reason }),
  async 'subscribe.run'({ name, limit, wait, lease, handle, stop_after }) {
    const stop = new AbortController();
    /** @type {string[]} */
    const handled = [];
    /** @param {sdk.CloudEvent} event */
    const handler = async (event) => {
      handled.push(event.id);
      if (handled.length === stop_after) stop.abort();
      const { then, reason, event: caused } = handle[event.id];
      if (then === 'fail') throw new Error(reason);
      if (then === 'reject') throw new sdk.Reject(reason);
      if (then === 'publish') await sdk.publish(platform, caused, { request: sdk.causedBy(event) });
    };
    const page = { limit, wait: wait * 1000, lease: lease * 1000 };
    await new sdk.Subscription(platform, name).run(handler, { ...page, signal: stop.signal });
    return { handled };
  },
};

/** @param {string} url */
function openSqlite(url) {
  const opened = new Database(fileURLToPath(url.replace(/^sqlite:/, 'file:')));
  opened.exec('PRAGMA busy_timeout = 20000');
  return opened;
}

/** @param {string} url */
async function openPostgres(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** @param {string} sql */
const execute = (sql) => ('exec' in db ? db.exec(sql) : db.query(sql));

/**
 * Bytes of the cases are base64.
 *
 * @param {Line} event
 */
function eventOf({ data_base64, ...event }) {
  const bytes = data_base64 !== undefined && { data: Buffer.from(data_base64, 'base64') };
  return /** @type {sdk.NewEvent} */ ({ ...event, ...bytes });
}

/** @param {sdk.CloudEvent} event */
function shown({ data, ...event }) {
  return data instanceof Uint8Array
    ? { ...event, data_base64: Buffer.from(data).toString('base64') }
    : { ...event, data };
}

const KINDS = /** @type {const} */ ([
  ['bad-key', sdk.KeyError],
  ['bad-request', sdk.BadPush],
  ['bad-event', sdk.BadEvent],
  ['refused', sdk.Refused],
  ['unavailable', sdk.Unavailable],
  ['bad-answer', sdk.BadAnswer],
]);

/** @param {any} error */
function told(error) {
  const kind = KINDS.find(([, type]) => error instanceof type)?.[0] ?? error.kind ?? 'internal';
  const { message, code, status = kind === 'bad-key' ? 400 : undefined } = error;
  return { kind, message, status, code };
}

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  /** @type {Line} */ let answer;
  try {
    answer = { ok: (await does[line.do]?.(line)) ?? {} };
  } catch (error) {
    answer = { error: told(error) };
  }
  process.stdout.write(`${JSON.stringify({ id: line.id, ...answer })}\n`);
}
process.exit();
