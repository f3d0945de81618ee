import { describe, expect, it } from 'vitest';
import { callerOf, createApp, Problem, unavailable } from '../src/index.ts';

/** An app whose one path does `handler`, and its log. */
function app(handler: (request: Parameters<typeof callerOf>[0]) => unknown) {
  const lines: Record<string, unknown>[] = [];
  const made = createApp({
    logTo: { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  });
  made.get('/x', async (request) => handler(request));
  return { lines, get: (headers = {}, path = '/x') => made.inject({ path, headers }) };
}

const fails = (error: Error) => app(() => Promise.reject(error));

describe('a problem', () => {
  it('is answered with its reason, members and Retry-After', async () => {
    const answer = await fails(unavailable('full', 'No room', 7)).get();
    expect(answer.statusCode).toBe(503);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/problem+json; charset=utf-8',
      'retry-after': '7',
    });
    expect(answer.json()).toEqual({ title: 'No room', status: 503, reason: 'full' });
  });

  it('is logged with its trace and causes when it is our failure, and not otherwise', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01` };
    const ours = fails(new Error('outer', { cause: new Error('inner') }));
    const answer = await ours.get(headers);
    expect(answer.json()).toEqual({ title: 'Something went wrong here', status: 500, reason: 'internal' });
    expect(ours.lines).toMatchObject([{ level: 'error', trace_id: trace, error: 'outer: inner' }]);

    const theirs = fails(new Problem(409, 'taken', 'Taken'));
    await theirs.get(headers);
    expect(theirs.lines).toEqual([]);
  });

  it('is what an unknown path gets', async () => {
    expect((await app(() => 1).get({}, '/y')).json()).toMatchObject({ status: 404, reason: 'not_found' });
  });
});

it('the caller is who the gateway says', async () => {
  const { get } = app(callerOf);
  expect((await get()).json()).toMatchObject({ status: 401, reason: 'unauthorized' });
  const known = await get({ 'ondol-subject': 'u1', 'ondol-roles': 'admin, clerk' });
  expect(known.json()).toEqual({ subject: 'u1', roles: ['admin', 'clerk'] });
});
