import { describe, expect, it } from 'vitest';
import { createGateway } from './gateway';

/** A gateway whose one answer is `respond`; `sent` is what was asked. */
function gateway(respond: () => Promise<Response>, incoming = {}, token: string | null = 'secret') {
  const sent: { url: string; init: RequestInit }[] = [];
  const call = createGateway({
    base: 'http://gateway.test',
    token,
    incoming: new Headers(incoming),
    fetch: (url, init) => {
      sent.push({ url: String(url), init: init! });
      return respond();
    },
  });
  return { call, sent };
}

const json = (status: number, body: unknown, headers = {}) =>
  Promise.resolve(new Response(JSON.stringify(body), { status, headers }));

const sentHeaders = ({ init }: { init: RequestInit }) => Object.fromEntries(init.headers as Headers);

describe('a call', () => {
  it('carries token, key, trace and nothing else of the page request', async () => {
    const incoming = { traceparent: '00-1', baggage: 'correlation-id=7', cookie: 'session=x' };
    const { call, sent } = gateway(() => json(201, { id: 1 }), incoming);
    expect(await call('/api/x', { method: 'POST', body: { a: 1 }, key: 'k' })).toEqual({
      ok: true,
      value: { id: 1 },
    });
    expect(sent[0]!.url).toBe('http://gateway.test/api/x');
    expect(sentHeaders(sent[0]!)).toEqual({
      accept: 'application/json',
      authorization: 'Bearer secret',
      baggage: 'correlation-id=7',
      'content-type': 'application/json',
      'idempotency-key': 'k',
      traceparent: '00-1',
    });
  });

  it('has no Authorization for a visitor', async () => {
    const { call, sent } = gateway(() => json(200, {}), {}, null);
    await call('/api/x');
    expect(sentHeaders(sent[0]!)).toEqual({ accept: 'application/json' });
  });

  it('gives a problem as its status, reason, time and id', async () => {
    const problem = { title: 'Order cancelled', status: 409, reason: 'out_of_stock', id: 'o1' };
    const { call } = gateway(() => json(409, problem, { 'retry-after': '7' }));
    expect(await call('/api/orders')).toEqual({
      ok: false,
      refusal: { status: 409, reason: 'out_of_stock', retryAfter: 7, id: 'o1' },
    });
  });

  it.each([
    ['no connection', () => Promise.reject(new TypeError('fetch failed'))],
    ['a page instead of JSON', () => Promise.resolve(new Response('<html>'))],
  ])('counts %s as unreachable', async (_, respond) => {
    const answer = await gateway(respond).call('/api/x');
    expect(answer).toMatchObject({ ok: false, refusal: { status: 0, reason: 'unreachable' } });
  });
});
