// One call to the public API, as its user: time limit, token, key, and every way to fail as a Refusal.
//
// Nothing is tried again here: the gateway retries what is safe to retry, and a person decides about the rest.

import type { Answer, Refusal } from '$lib/answer';

/** Passed on from the page's request, so that one trace and one correlation run through all it causes. */
const CARRIED = ['traceparent', 'tracestate', 'baggage', 'x-forwarded-for'];

export interface Call {
  method?: 'GET' | 'POST';
  body?: unknown;
  /** `Idempotency-Key`. */
  key?: string;
  /** Milliseconds until the call is given up; 5 s unless told. */
  timeout?: number;
}

export type Gateway = <T>(path: string, call?: Call) => Promise<Answer<T>>;

export interface Settings {
  base: string;
  token: string | null;
  /** The page's request. */
  incoming: Headers;
  fetch: typeof fetch;
}

/** Calls to the gateway at `base` with this token. Never throws: what fails is a refusal. */
export function createGateway({ base, token, incoming, fetch }: Settings): Gateway {
  const common = new Headers({ accept: 'application/json' });
  for (const name of CARRIED) {
    const value = incoming.get(name);
    if (value) common.set(name, value);
  }
  if (token) common.set('authorization', `Bearer ${token}`);

  return async <T>(path: string, { method = 'GET', body, key, timeout = 5000 }: Call = {}) => {
    const headers = new Headers(common);
    if (body !== undefined) headers.set('content-type', 'application/json');
    if (key) headers.set('idempotency-key', key);
    try {
      const response = await fetch(new URL(path, base), {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(timeout),
        redirect: 'error',
      });
      const json: unknown = await response.json();
      if (response.ok) return { ok: true, value: json as T };
      return { ok: false, refusal: refusalOf(response, json) };
    } catch {
      // No connection, no answer in time, or an answer that is not JSON and so not of the API.
      return { ok: false, refusal: { status: 0, reason: 'unreachable', retryAfter: null, id: null } };
    }
  };
}

function refusalOf(response: Response, problem: unknown): Refusal {
  const members = (typeof problem === 'object' && problem) as Record<string, unknown> | false;
  const text = (name: string) => {
    const value = members && members[name];
    return typeof value === 'string' ? value : null;
  };
  return {
    status: response.status,
    reason: text('reason') ?? '',
    retryAfter: seconds(response.headers.get('retry-after')),
    id: text('id'),
  };
}

/** `Retry-After` in its form of seconds; its form of a date is not used in this system. */
function seconds(text: string | null): number | null {
  return text && /^\d{1,6}$/.test(text) ? Number(text) : null;
}
