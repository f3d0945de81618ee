import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Contract } from '../../../kit-node/test/contract.ts';
import { notifications } from '../src/app.ts';
import { KEPT, Mailboxes } from '../src/mailbox.ts';
import { confirmed, push, type Pushed } from './push.ts';

const contract = new Contract(new URL('../openapi.yaml', import.meta.url).pathname);

let folder: string;
let file: string;
let app: FastifyInstance;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'notifications-'));
  file = join(folder, 'mailboxes.db');
  app = notifications(new Mailboxes(file), { logTo: { write: () => undefined } });
});
afterEach(async () => {
  await app.close();
  rmSync(folder, { recursive: true });
});

/** Asks, and holds the answer against the contract. */
async function ask(operation: string, path: string, more: { headers?: object; body?: string | Buffer } = {}) {
  const method = operation.split(' ')[0] as 'GET';
  const answer = await app.inject({ method, path, ...(more as object) });
  const type = answer.headers['content-type']?.toString().split(';')[0] ?? '';
  const body: unknown = answer.body === '' ? undefined : answer.json();
  expect(contract.objection(operation, { status: answer.statusCode, type, body })).toBeNull();
  return { status: answer.statusCode, body: body as Record<string, unknown>, headers: answer.headers };
}

const send = (event: Pushed) => ask('POST /internal/events', '/internal/events', push(event));
const as = (subject: string) => ({ headers: { 'ondol-subject': subject } });
const mailbox = async (subject: string, query = '') =>
  (await ask('GET /api/mailbox', `/api/mailbox${query}`, as(subject))).body as {
    items: { id: string; read: boolean; body: string }[];
    next: string | null;
    unread: number;
  };
const read = (subject: string, id: string) =>
  ask('POST /api/mailbox/{id}/read', `/api/mailbox/${encodeURIComponent(id)}/read`, as(subject));

it('has a route for each operation of its contract', async () => {
  await app.ready();
  expect(contract.missingIn(app)).toEqual([]);
});

describe('an event', () => {
  it('becomes one mail, however often it comes', async () => {
    for (let round = 0; round < 3; round++) {
      expect((await send(confirmed('u1', 'o1', 'e1'))).status).toBe(204);
    }
    const { items, unread } = await mailbox('u1');
    expect([items.map(({ id }) => id), unread]).toEqual([['e1'], 1]);
  });

  it('that comes many times at once becomes one mail', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(confirmed('u1', 'o1', 'e1'))));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    expect((await mailbox('u1')).items).toHaveLength(1);
  });

  it('of which no mail can be made is refused and leaves nothing, so that an edited one is taken', async () => {
    const broken = { ...confirmed('u1', 'o1', 'e1'), data: { total: 1, currency: 'EUR' } };
    expect(await send(broken)).toMatchObject({
      status: 422,
      body: { reason: 'no_mail', title: 'data.customer is missing or empty' },
    });
    expect((await send(confirmed('u1', 'o1', 'e1'))).status).toBe(204);
    expect((await mailbox('u1')).items).toHaveLength(1);
  });

  it('that comes out of order is taken all the same', async () => {
    await send(confirmed('u1', 'o2'));
    await send(confirmed('u1', 'o1'));
    expect((await mailbox('u1')).items).toHaveLength(2);
  });

  it('teaches the name that later mails use', async () => {
    await send({
      type: 'user.registered.v1',
      data: { id: 'u1', name: '지우 & <b>', email: 'jiu@shop.example' },
    });
    await send(confirmed('u1', 'o1'));
    expect((await mailbox('u1')).items[0]?.body).toMatch(/^Dear 지우 & <b>,/);
  });

  it.each([
    ['nothing at all', { headers: { 'ondol-caller': 'ondol' } }],
    ['no id', push({ ...confirmed('u1', 'o1'), headers: { 'ce-id': '' } })],
    ['another version', push({ ...confirmed('u1', 'o1'), headers: { 'ce-specversion': '0.3' } })],
    ['an id that is not percent-encoded', push({ ...confirmed('u1', 'o1'), headers: { 'ce-id': '%zz' } })],
    ['no subscription', push({ ...confirmed('u1', 'o1'), headers: { 'ondol-subscription': '' } })],
    ['half of a body', { ...push(confirmed('u1', 'o1')), body: '{"customer":' }],
    ['bytes that are no text', { ...push(confirmed('u1', 'o1')), body: Buffer.of(0x22, 0xff, 0x22) }],
  ])('is refused with 400 when it is %s', async (_, request) => {
    const answer = await ask('POST /internal/events', '/internal/events', request);
    expect(answer).toMatchObject({ status: 400, body: { reason: 'bad_event' } });
  });

  it.each([
    ['nobody', ''],
    ['another service', 'orders'],
  ])('is refused with 403 when it comes from %s', async (_, caller) => {
    const request = push({ ...confirmed('u1', 'o1'), headers: { 'ondol-caller': caller } });
    const answer = await ask('POST /internal/events', '/internal/events', request);
    expect(answer).toMatchObject({ status: 403, body: { reason: 'bad_event' } });
  });

  it('that is larger than an event may be is refused', async () => {
    const { headers } = push(confirmed('u1', 'o1'));
    const answer = await app.inject({
      method: 'POST',
      path: '/internal/events',
      headers,
      body: 'x'.repeat(1024 * 1024 + 1),
    });
    expect([answer.statusCode, answer.json<{ reason: string }>().reason]).toEqual([413, 'too_large']);
  });

  it('waits while the database is locked, and no attempt counts', async () => {
    const other = new Database(file);
    other.exec('BEGIN IMMEDIATE');
    const answer = await send(confirmed('u1', 'o1'));
    expect(answer).toMatchObject({ status: 503, body: { reason: 'database_unavailable' } });
    expect(answer.headers['retry-after']).toBe('1');
    other.exec('ROLLBACK');
    other.close();
    expect((await send(confirmed('u1', 'o1'))).status).toBe(204);
  });
});

describe('the mailbox', () => {
  it('is its owner’s alone', async () => {
    await send(confirmed('u1', 'o1', 'e1'));
    expect((await mailbox('u2')).items).toEqual([]);
    expect((await read('u2', 'e1')).status).toBe(404);
    expect((await mailbox('u1')).unread).toBe(1);
    expect((await ask('GET /api/mailbox', '/api/mailbox')).status).toBe(401);
  });

  it('gives the newest first, page after page', async () => {
    for (const order of ['o1', 'o2', 'o3']) await send(confirmed('u1', order, `e-${order}`));
    const first = await mailbox('u1', '?limit=2');
    expect([first.items.map(({ id }) => id), first.unread]).toEqual([['e-o3', 'e-o2'], 3]);
    const second = await mailbox('u1', `?limit=2&after=${first.next ?? ''}`);
    expect([second.items.map(({ id }) => id), second.next]).toEqual([['e-o1'], null]);
  });

  it('remembers what was read, whatever its id looks like', async () => {
    const id = '0198.create.action#2 %/ü';
    await send(confirmed('u1', 'o1', encodeURIComponent(id)));
    for (let round = 0; round < 2; round++) {
      expect((await read('u1', id)).body).toEqual({ id, read: true });
    }
    expect(await mailbox('u1')).toMatchObject({ items: [{ id, read: true }], unread: 0 });
  });

  it.each(['limit=0', 'limit=101', 'limit=x', 'after=-1', 'after=1e3'])('refuses %s', async (query) => {
    const answer = await ask('GET /api/mailbox', `/api/mailbox?${query}`, as('u1'));
    expect(answer).toMatchObject({ status: 400, body: { reason: 'invalid' } });
  });

  it('keeps the newest only, and counts all that were written', async () => {
    await send(confirmed('u1', 'o0', 'e0'));
    // Straight into the file: thousands of synced commits would only test the disk.
    const other = new Database(file);
    const row = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${KEPT})
      INSERT INTO mails (id, type, customer, about, subject, body, at) SELECT 'old-' || i, 't', 'u1', 'o', 's', 'b', '' FROM n`;
    other.exec(row);
    await send(confirmed('u1', 'o1', 'e1'));
    await send(confirmed('u2', 'o2', 'e2'));
    const kept = other.prepare("SELECT count(*) AS n FROM mails WHERE customer = 'u1'").all();
    other.close();
    expect(kept).toMatchObject([{ n: KEPT }]);
    const totals = await ask('GET /internal/totals', '/internal/totals');
    expect(totals.body).toEqual({ mails: { 'order.confirmed.v1': 3 }, customers: 2 });
  });
});
