// The service as it is built and run: killed in the middle, out of disk, stopped in order, refused a start.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ServiceProcess } from '../../../kit-node/test/process.ts';
import { PRODUCTS } from '../src/pictures/index.ts';

const HOME = new URL('..', import.meta.url).pathname;
const START = ['node', '../../kit-node/start.js'];

let folder: string;
const started: ServiceProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'media-'));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.end('SIGKILL')));
  rmSync(folder, { recursive: true });
});

async function start(command = START, capacity = '1GiB'): Promise<ServiceProcess> {
  const env = { ONDOL_DATA: folder, ONDOL_RELEASE: 'r1', MEDIA_CAPACITY: capacity, MEDIA_SHARE: '1GiB' };
  const service = await ServiceProcess.start(command, env, HOME);
  started.push(service);
  return service;
}

const put = (
  service: ServiceProcess,
  name: string,
  body: string | AsyncIterable<Uint8Array>,
  subject = 'u1',
) =>
  fetch(`${service.url}/api/media/${name}`, {
    method: 'PUT',
    body,
    headers: { 'ondol-subject': subject },
    duplex: 'half',
  });

it('what was acknowledged before a kill -9 is whole after it, and what was not is whole or not there', async () => {
  const first = await start();
  const text = (n: number) => `file ${n} `.repeat(20_000);
  const acknowledged = new Set<number>();
  const uploads = Array.from({ length: 30 }, async (_, n) => {
    const answer = await put(first, `f${n}`, text(n), `u${n}`).catch(() => null);
    if (answer?.status === 201) acknowledged.add(n);
  });
  while (acknowledged.size < 3) await Promise.race(uploads.filter((_, n) => !acknowledged.has(n)));
  await first.end('SIGKILL');
  await Promise.all(uploads);

  const second = await start();
  expect(acknowledged.size).toBeGreaterThan(0);
  for (let n = 0; n < uploads.length; n++) {
    const answer = await fetch(`${second.url}/api/media/f${n}`);
    if (acknowledged.has(n)) expect(answer.status).toBe(200);
    if (answer.status === 200) expect((await answer.text()) === text(n)).toBe(true);
  }
});

it('shows the catalogue’s pictures from the first moment', async () => {
  const service = await start();
  const answers = await Promise.all(
    PRODUCTS.map(({ id }) => fetch(`${service.url}/api/media/product-${id}.svg`)),
  );
  expect(new Set(answers.map(({ headers }) => headers.get('content-type')))).toEqual(
    new Set(['image/svg+xml']),
  );
});

it('starts when there is no room for a picture that is drawn anew', async () => {
  const [record = ''] = readdirSync(await drawn()).filter((name) => name.startsWith('product-'));
  const entry = JSON.parse(readFileSync(join(folder, 'files', record), 'utf8')) as { etag: string };
  writeFileSync(join(folder, 'files', record), JSON.stringify({ ...entry, etag: '"another"' }));
  writeFileSync(join(folder, 'blobs', 'full'), Buffer.alloc(1 << 20));
  const service = await start(START, '1MiB');
  expect((await fetch(`${service.url}/api/media/${record.replace(/\.json$/, '')}`)).status).toBe(200);
});

/** The folder of records, once the pictures are drawn. */
async function drawn(): Promise<string> {
  const service = await start();
  expect(await service.end('SIGTERM')).toBe(0);
  return join(folder, 'files');
}

it('holds nothing near what is sent', async () => {
  const service = await start();
  const size = 100_000_000;
  async function* zeros() {
    const chunk = Buffer.alloc(1_000_000);
    for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
  }
  const answers = await Promise.all(['a', 'b', 'c'].map((name) => put(service, name, zeros())));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  const peak = /VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${service.process.pid}/status`, 'utf8'))?.[1];
  expect(Number(peak) * 1024).toBeLessThan(250_000_000);
});

const namespaces = ['--user', '--map-root-user', '--mount'];
const mayMount = spawnSync('unshare', [...namespaces, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

it.skipIf(!mayMount)('a full disk is a 507, nothing is broken by it, and space makes it go on', async () => {
  // A small disk of its own, mounted over the folder for this process alone.
  const disk = ['mount', '-t', 'tmpfs', '-o', 'size=24m', 'none', folder].join(' ');
  const service = await start(['unshare', ...namespaces, 'sh', '-c', `${disk} && exec node build/main.cjs`]);
  expect((await put(service, 'small', 'x'.repeat(1_000_000))).status).toBe(201);
  const answer = await put(service, 'large', 'x'.repeat(30_000_000));
  expect([answer.status, await answer.json()]).toMatchObject([507, { reason: 'no_space' }]);
  expect((await put(service, 'other', 'x'.repeat(15_000_000))).status).toBe(201);
  expect((await (await fetch(`${service.url}/api/media/small`)).text()).length).toBe(1_000_000);
});

it('ends with 0 on SIGTERM, and a wrong size is an error at the start', async () => {
  const service = await start();
  expect(await service.end('SIGTERM')).toBe(0);
  expect(readdirSync(join(folder, 'releases'))).toEqual(['r1']);
  const env = { ...process.env, ONDOL_DATA: folder, MEDIA_CAPACITY: 'lots', PORT: '1' };
  const fails = () => execFileSync('node', ['build/main.cjs'], { cwd: HOME, env, stdio: 'pipe' });
  expect(fails).toThrow('error: MEDIA_CAPACITY lots is no size such as 500MiB or 2GiB');
});
