// The routes over real sockets, since most of what can go wrong with streams goes wrong there.

import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Contract } from '../../../kit-node/test/contract.ts';
import { media } from '../src/app.ts';
import { MAX_SIZE, MediaStore } from '../src/store.ts';

const contract = new Contract(new URL('../openapi.yaml', import.meta.url).pathname);
const PNG = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(2000, 7)]);
const ROOM = { capacity: 150_000_000, share: 150_000_000 };

let folder: string;
let app: FastifyInstance;
let url: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'media-'));
  await listen();
});

/** `idleTimeout` as it is in the shop, unless told. */
async function listen(options: { idleTimeout?: number } = {}): Promise<void> {
  const store = await MediaStore.open(folder, ROOM);
  app = media(store, { logTo: { write: () => undefined }, ...options });
  await app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
}

afterEach(async () => {
  app.server.closeAllConnections();
  await app.close();
  rmSync(folder, { recursive: true });
});

const blobs = () => readdirSync(join(folder, 'blobs')).length;

/** Waits for a state that comes by itself. */
async function until(state: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await state())) await pause(10);
}

type Body = Uint8Array | string | AsyncIterable<Uint8Array>;

/** Asks, and holds the answer against the contract. */
async function put(name: string, body: Body, headers: Record<string, string> = {}, subject = 'u1') {
  const response = await fetch(`${url}/api/media/${name}`, {
    method: 'PUT',
    body,
    headers: { ...(subject && { 'ondol-subject': subject }), ...headers },
    duplex: 'half',
  });
  const said = (await response.json()) as Record<string, unknown>;
  const type = response.headers.get('content-type')?.split(';')[0] ?? '';
  expect(
    contract.objection('PUT /api/media/{name}', { status: response.status, type, body: said }),
  ).toBeNull();
  return { status: response.status, body: said, headers: response.headers };
}

async function remove(name: string, subject: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(`${url}/api/media/${name}`, {
    method: 'DELETE',
    headers: { ...(subject && { 'ondol-subject': subject }), ...headers },
  });
  const type = response.headers.get('content-type')?.split(';')[0] ?? '';
  const text = await response.text();
  const said = { status: response.status, type, body: text && (JSON.parse(text) as unknown) };
  expect(contract.objection('DELETE /api/media/{name}', said)).toBeNull();
  return response.status;
}

const get = (name: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${url}/api/media/${name}`, { method, headers });

it('has a route for each operation of its contract', () => {
  expect(contract.missingIn(app)).toEqual([]);
});

describe('a picture', () => {
  it('goes up and comes down as it was, with its validator', async () => {
    const made = await put('a.png', PNG, { 'content-type': 'text/html' });
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'a.png', size: PNG.length, type: 'image/png', url: '/api/media/a.png' },
    });
    const got = await get('a.png');
    expect(Buffer.from(await got.arrayBuffer())).toEqual(PNG);
    expect(Object.fromEntries(got.headers)).toMatchObject({
      'accept-ranges': 'bytes',
      'content-disposition': 'inline',
      'content-length': String(PNG.length),
      'content-security-policy': expect.stringContaining('sandbox') as unknown,
      'content-type': 'image/png',
      etag: made.headers.get('etag'),
      'x-content-type-options': 'nosniff',
    });
    const head = await get('a.png', {}, 'HEAD');
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(PNG.length)]);
    const part = await get('a.png', { range: 'bytes=9999-' }, 'HEAD');
    expect([part.status, part.headers.get('content-length')]).toEqual([200, String(PNG.length)]);
  });

  it('comes in parts, and not at all to whom has it', async () => {
    const etag = (await put('a.png', PNG)).headers.get('etag') ?? '';
    const part = await get('a.png', { range: 'bytes=4-7', 'if-range': etag });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 4-7/${PNG.length}`]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(PNG.subarray(4, 8));
    expect((await get('a.png', { 'if-none-match': etag })).status).toBe(304);
    const outside = await get('a.png', { range: 'bytes=9999-' });
    expect([outside.status, outside.headers.get('content-range')]).toEqual([416, `bytes */${PNG.length}`]);
    expect((await get('b.png')).status).toBe(404);
  });

  it('that is none is refused, and what is no picture is only saved', async () => {
    expect(await put('a.png', '<html>')).toMatchObject({ status: 415, body: { reason: 'wrong_type' } });
    expect((await put('page.html', '<script>alert(1)</script>')).status).toBe(201);
    const { headers } = await get('page.html');
    expect(headers.get('content-type')).toBe('application/octet-stream');
    expect(headers.get('content-disposition')).toBe('attachment; filename="page.html"');
    expect(blobs()).toBe(1);
  });

  it('may be empty', async () => {
    expect((await put('nothing', '')).status).toBe(201);
    const got = await get('nothing');
    expect([got.status, (await got.arrayBuffer()).byteLength]).toEqual([200, 0]);
  });
});

describe('a name', () => {
  it('is its owner’s; an administrator may all the same', async () => {
    await put('a', 'mine');
    expect((await put('a', 'mine too')).status).toBe(200);
    expect(await put('a', 'theirs', {}, 'u2')).toMatchObject({ status: 403, body: { reason: 'name_taken' } });
    expect((await put('a', 'ours', { 'ondol-roles': 'admin' }, 'u3')).status).toBe(200);
    expect((await put('a', 'nobody', {}, '')).status).toBe(401);
    expect(await (await get('a')).text()).toBe('ours');
    expect((await put('a', 'mine again')).status).toBe(200);
  });

  it('is free again when its owner deletes the file, or an administrator', async () => {
    const etag = (await put('a', 'mine')).headers.get('etag') ?? '';
    expect([await remove('a', 'u2'), await remove('a', ''), await remove('b', 'u1')]).toEqual([
      403, 401, 404,
    ]);
    expect(await remove('a', 'u1', { 'if-match': '"another"' })).toBe(412);
    expect([await remove('a', 'u1', { 'if-match': etag }), (await get('a')).status, blobs()]).toEqual([
      204, 404, 0,
    ]);
    expect((await put('a', 'theirs', {}, 'u2')).status).toBe(201);
    expect(await remove('a', 'u3', { 'ondol-roles': 'admin' })).toBe(204);
  });

  it('is taken by one of many who come at once', async () => {
    const users = Array.from({ length: 10 }, (_, n) => `u${n}`);
    const answers = await Promise.all(users.map((user) => put('a', `of ${user}`, {}, user)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...users.slice(1).map(() => 403)]);
  });

  it('changes only from what its writer knows', async () => {
    const etag = (await put('a', 'one', { 'if-none-match': '*' })).headers.get('etag') ?? '';
    expect((await put('a', 'two', { 'if-none-match': '*' })).status).toBe(412);
    expect((await put('a', 'two', { 'if-match': etag })).status).toBe(200);
    expect((await put('a', 'three', { 'if-match': etag })).status).toBe(412);
  });

  it.each(['..%2f..%2fetc', '..%2e', 'a..b', '.hidden', 'A.png', 'a%00', '%C3%A4', 'a%5Cb', 'x'.repeat(101)])(
    'is not %s',
    async (name) => {
      expect(await put(name, 'x')).toMatchObject({ status: 400, body: { reason: 'bad_name' } });
      expect((await get(name)).status).toBe(400);
    },
  );
});

describe('an upload', () => {
  /** So many bytes, made while they are read. */
  async function* endless(size: number, chunk = Buffer.alloc(1 << 20, 1)): AsyncGenerator<Buffer> {
    for (let sent = 0; sent < size; sent += chunk.length)
      yield chunk.subarray(0, Math.min(chunk.length, size - sent));
  }

  it('of 100 MB is a stream both ways, and one byte more is too much', async () => {
    expect((await put('big', endless(MAX_SIZE))).body).toMatchObject({ size: MAX_SIZE });
    let received = 0;
    const { body } = await get('big');
    for await (const chunk of body as AsyncIterable<Uint8Array>) received += chunk.byteLength;
    expect(received).toBe(MAX_SIZE);
  });

  it('that says it is too large is refused before it is read, and one that does not is cut', async () => {
    const said = { 'content-length': String(MAX_SIZE + 1) };
    const request = httpRequest(`${url}/api/media/a`, {
      method: 'PUT',
      headers: { ...said, 'ondol-subject': 'u1' },
    });
    request.on('error', () => undefined).flushHeaders();
    const [answer] = (await once(request, 'response')) as [{ statusCode: number }];
    expect(answer.statusCode).toBe(413);
    request.destroy();
    expect(await put('a', endless(MAX_SIZE + 1))).toMatchObject({
      status: 413,
      body: { reason: 'too_large' },
    });
    expect(blobs()).toBe(0);
  });

  it('for which there is no room is refused, and the room is there for others', async () => {
    await put('big', endless(90_000_000));
    expect(await put('b', endless(90_000_000))).toMatchObject({ status: 507, body: { reason: 'no_space' } });
    expect((await put('c', endless(50_000_000))).status).toBe(201);
    expect(blobs()).toBe(2);
  });

  it('waits for the others of its sender, and never for those of somebody else', async () => {
    const { port } = app.server.address() as AddressInfo;
    const sockets = Array.from({ length: 4 }, (_, n) => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.write(
        `PUT /api/media/f${n} HTTP/1.1\r\nHost: x\r\nOndol-Subject: u1\r\nContent-Length: 1000\r\n\r\nhalf`,
      );
      return socket;
    });
    await until(() => blobs() === 4);
    expect(await put('a', 'x')).toMatchObject({ status: 503, body: { reason: 'too_many_uploads' } });
    expect((await put('b', 'x', {}, 'u2')).status).toBe(201);
    sockets.forEach((socket) => socket.destroy());
    await until(() => blobs() === 1);
    await until(async () => (await put('a', 'x')).status === 201);
  });

  it('that is broken off leaves nothing', async () => {
    const { port } = app.server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    socket.write(
      'PUT /api/media/a HTTP/1.1\r\nHost: x\r\nOndol-Subject: u1\r\nContent-Length: 1000\r\n\r\nhalf',
    );
    await until(() => blobs() === 1);
    socket.destroy();
    await until(() => blobs() === 0);
    expect((await get('a')).status).toBe(404);
  });

  it('that stops in the middle is cut, and so is a reader that stops reading', async () => {
    await put('big', endless(20_000_000));
    await app.close();
    await listen({ idleTimeout: 300 });
    const { port } = app.server.address() as AddressInfo;
    const sleeper = connect(port, '127.0.0.1');
    sleeper.write(
      'PUT /api/media/a HTTP/1.1\r\nHost: x\r\nOndol-Subject: u1\r\nContent-Length: 1000\r\n\r\nhalf',
    );
    await once(sleeper.resume(), 'close');
    await until(() => blobs() === 1);

    const reader = connect(port, '127.0.0.1');
    reader.write('GET /api/media/big HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(reader, 'readable');
    await until(async () => (await connections()) === 0);
    reader.destroy();
  });

  const connections = () =>
    new Promise<number>((resolve) => app.server.getConnections((_, count) => resolve(count)));

  it('in pieces or packed is refused', async () => {
    expect((await put('a', 'x', { 'content-range': 'bytes 0-0/2' })).status).toBe(400);
    expect((await put('a', 'x', { 'content-encoding': 'gzip' })).status).toBe(415);
  });
});
