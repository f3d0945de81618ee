// A service's connection to the platform: `ONDOL_URL` with `ONDOL_TOKEN`, JSON, problems as errors, and patience.
//
// A call is repeated after no answer, 429 and 5xx, with the same body, until its time is over; the service API is made so
// that repeating is safe. Pauses grow to 5 s with full jitter; `Retry-After` is obeyed, up to 30 s.

import { setTimeout as pause } from 'node:timers/promises';

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;
const LONGEST_RETRY_AFTER = 30_000;

/** The platform refused: `code` names the page docs/errors/CODE.md. */
export class PlatformError extends Error {
  override name = 'PlatformError';
  readonly status: number;
  readonly code: string | undefined;
  /** The whole RFC 9457 problem, as far as there was one. */
  readonly problem: Record<string, unknown>;

  constructor(status: number, problem: Record<string, unknown>) {
    const text = (name: string) => (typeof problem[name] === 'string' ? problem[name] : undefined);
    super([String(status), text('code'), text('detail') ?? text('title')].filter(Boolean).join(' '));
    this.status = status;
    this.problem = problem;
    this.code = text('code');
  }
}

export interface PlatformOptions {
  /** = `ONDOL_URL`. */
  url?: string;
  /** = `ONDOL_TOKEN`. */
  token?: string;
  /** = `ONDOL_SERVICE`: names the source of events. */
  service?: string;
  /** Milliseconds for a call with all its repeats, 30 s unless told. What the call itself asks to wait comes on top. */
  within?: number;
}

export interface Call {
  body?: string;
  headers?: Record<string, string>;
  /** Milliseconds that the platform was asked to wait before it answers. */
  waits?: number;
  signal?: AbortSignal | undefined;
}

export class Platform {
  readonly service: string;
  readonly #url: string;
  readonly #token: string;
  readonly #within: number;

  constructor(options: PlatformOptions = {}) {
    this.#url = options.url ?? variable('ONDOL_URL');
    this.#token = options.token ?? variable('ONDOL_TOKEN');
    this.service = options.service ?? variable('ONDOL_SERVICE');
    this.#within = options.within ?? 30_000;
  }

  /** The JSON of a 2xx answer. Throws `PlatformError`, or what fetch threw last when there was no answer in time. */
  async call<T>(method: string, path: string, { body, headers, waits = 0, signal }: Call = {}): Promise<T> {
    const within = AbortSignal.timeout(this.#within + waits);
    const ended = signal ? AbortSignal.any([within, signal]) : within;
    const request: RequestInit = {
      method,
      headers: { ...headers, authorization: `Bearer ${this.#token}`, accept: 'application/json' },
      body: body ?? null,
      signal: ended,
      redirect: 'error',
    };
    for (let attempt = 0; ; attempt++) {
      const result = await this.#once(path, request);
      if ('value' in result) return result.value as T;
      const wait = result.after ?? Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt);
      // The last error says more than the end of the time.
      if (!result.passing || ended.aborted) throw signal?.aborted ? signal.reason : result.error;
      await pause(wait, undefined, { signal: ended }).catch(() => {
        throw signal?.aborted ? signal.reason : result.error;
      });
    }
  }

  async #once(path: string, request: RequestInit): Promise<Result> {
    try {
      const response = await fetch(new URL(path, this.#url), request);
      const text = await response.text();
      if (response.ok) return { value: text === '' ? null : JSON.parse(text) };
      const passing = response.status === 429 || response.status >= 500;
      const error = new PlatformError(response.status, problemOf(text));
      return { error, passing, after: retryAfter(response.headers.get('retry-after')) };
    } catch (error) {
      // No connection, a cut one, or an answer that is not JSON: nobody knows whether it was done, so ask again.
      return { error, passing: true, after: undefined };
    }
  }
}

type Result = { value: unknown } | { error: unknown; passing: boolean; after: number | undefined };

function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: Ondol gives it to every service that it runs`);
  return value;
}

function problemOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Milliseconds. Only the form of seconds is used on the platform's edges. */
function retryAfter(value: string | null): number | undefined {
  return value && /^\d{1,6}$/.test(value) ? Math.min(Number(value) * 1000, LONGEST_RETRY_AFTER) : undefined;
}
