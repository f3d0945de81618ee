import { afterEach, expect, it } from 'vitest';
import { Refused, Subscription, Unavailable, type CloudEvent } from '../src/index.ts';
import { stubPlatform, type Asked, type Reply } from './server.ts';

let close: () => void = () => undefined;
afterEach(() => {
  close();
});

const leased = (id: string) => ({
  lease: `l-${id}`,
  event: { specversion: '1.0', id, source: '/s', type: 'a.v1' },
});

async function subscription(answer: (asked: Asked) => Reply | Promise<Reply>) {
  const stub = await stubPlatform(answer);
  close = stub.close;
  return { ...stub, orders: new Subscription(stub.platform, 'orders') };
}

it('handles as many side by side as it is told, and acknowledges each by itself', async () => {
  const { orders, asked } = await subscription(({ path }) =>
    path.endsWith('/pull') ? { body: { events: ['e1', 'e2', 'e3'].map(leased) } } : {},
  );
  const stop = new AbortController();
  const begun: string[] = [];
  let release: () => void = () => undefined;
  const blocked = new Promise<void>((resolve) => (release = resolve));
  const handler = async ({ id }: CloudEvent) => {
    begun.push(id);
    // The first waits until the third is at work: that needs two at once, and the second's end.
    if (id === 'e3') release();
    if (id === 'e1') await blocked;
    if (begun.length === 3) stop.abort();
  };
  await orders.run(handler, { parallel: 2, signal: stop.signal });
  expect(begun).toEqual(['e1', 'e2', 'e3']);
  const acks = asked.filter(({ path }) => path.endsWith('/ack')).map(({ body }) => body['leases']);
  expect(acks.sort()).toEqual([['l-e1'], ['l-e2'], ['l-e3']]);
});

it('stops while it waits for events', async () => {
  let pulled: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => (pulled = resolve));
  const { orders } = await subscription(() => {
    pulled();
    return new Promise(() => undefined);
  });
  const stop = new AbortController();
  const loop = orders.run(() => undefined, { signal: stop.signal });
  await waiting;
  stop.abort();
  await loop;
});

it('tells what went wrong and goes on; a refusal ends it', async () => {
  const answers: Reply[] = [
    { body: { events: [leased('e1')] } },
    { status: 409, body: { code: 'EV-011' } },
    { status: 403, body: { code: 'AP-003', detail: 'not yours' } },
  ];
  const { orders } = await subscription(() => answers.shift() ?? { status: 500 });
  const errors: unknown[] = [];
  const loop = orders.run(() => Promise.reject(new Error('no')), { onError: (error) => errors.push(error) });
  await expect(loop).rejects.toThrow('the platform refused: 403 AP-003 not yours');
  expect(errors).toMatchObject([{ message: 'no' }, { name: 'Refused', code: 'EV-011' }]);
  expect(errors[1]).toBeInstanceOf(Refused);
});

it('a deadline ends a call that nobody answers', async () => {
  const { platform } = await subscription(() => new Promise(() => undefined));
  await expect(platform.call('GET', '/v1/outbox', { deadline: 50 })).rejects.toBeInstanceOf(Unavailable);
});
