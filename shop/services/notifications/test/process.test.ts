// The service as it is built and run: killed in the middle, stopped in order, refused a start.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ServiceProcess } from '../../../kit-node/test/process.ts';
import { confirmed, push } from './push.ts';

const HOME = new URL('..', import.meta.url).pathname;

let folder: string;
const started: ServiceProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'notifications-'));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.end('SIGKILL')));
  rmSync(folder, { recursive: true });
});

async function start(): Promise<ServiceProcess> {
  const env = { DATABASE_URL: `sqlite://${folder}/mailboxes.db`, ONDOL_DATA: folder, ONDOL_RELEASE: 'r1' };
  const service = await ServiceProcess.start(['node', '../../kit-node/start.js'], env, HOME);
  started.push(service);
  return service;
}

async function totals(service: ServiceProcess): Promise<unknown> {
  return (await fetch(`${service.url}/internal/totals`)).json();
}

it('what was acknowledged before a kill -9 is there after it, once, whatever is delivered again', async () => {
  const ids = Array.from({ length: 200 }, (_, n) => `e${n}`);
  const acknowledged = new Set<string>();
  const deliver = async (service: ServiceProcess, id: string) => {
    const request = { method: 'POST', ...push(confirmed('u1', id, id)) };
    const answer = await fetch(`${service.url}/internal/events`, request).catch(() => null);
    if (answer?.status === 204) acknowledged.add(id);
  };

  const first = await start();
  const deliveries = ids.map((id) => deliver(first, id));
  await Promise.race([Promise.all(deliveries.slice(0, 20)), Promise.all(deliveries)]);
  await first.end('SIGKILL');
  await Promise.all(deliveries);

  const second = await start();
  const kept = (await totals(second)) as { mails: Record<string, number> };
  expect(acknowledged.size).toBeGreaterThan(0);
  expect(kept.mails['order.confirmed.v1']).toBeGreaterThanOrEqual(acknowledged.size);
  for (const id of ids) await deliver(second, id);
  expect(await totals(second)).toEqual({ mails: { 'order.confirmed.v1': ids.length }, customers: 1 });
});

it('ends with 0 on SIGTERM, and without a database it does not start', async () => {
  expect(await (await start()).end('SIGTERM')).toBe(0);
  const broken = ServiceProcess.start(['node', 'build/main.cjs'], { DATABASE_URL: 'postgres://x' }, HOME);
  await expect(broken).rejects.toThrow('error: DATABASE_URL postgres://x is no sqlite:///FILE');
});
