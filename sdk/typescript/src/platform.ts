// A service's connection to the platform: `ONDOL_URL` with `ONDOL_TOKEN`, JSON, problems as errors, and patience.
//
// A call is made again after no answer, 429 and 5xx, with the same body; the service API is made so that this is safe.
// Pauses grow to 1 s with full jitter; `Retry-After` is obeyed. Every other answer is final, redirections too, since the
// token is for one place. There is an end to trying: so many attempts, or the next one would come after the deadline.

import { setTimeout as pause } from 'node:timers/promises';

const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1_000;
/** For one attempt, beyond what the platform is asked to wait. */
const ATTEMPT = 10_000;

/** The platform refused for good: `code` names the page docs/errors/CODE.md. */
export class Refused extends Error {
  override name = 'Refused';
  readonly status: number;
  readonly code: string | undefined;
  /** The RFC 9457 problem, as far as there was one. */
  readonly problem: Record<string, unknown>;

  constructor(status: number, problem: Record<string, unknown>) {
    const text = (name: string) => (typeof problem[name] === 'string' ? problem[name] : undefined);
    super(
      ['the platform refused:', status, text('code'), text('detail') ?? text('title')]
        .filter(Boolean)
        .join(' '),
    );
    this.status = status;
    this.problem = problem;
    this.code = text('code');
  }
}

/** No answer in time, or only that it cannot be done now. Whether it was done is not known; doing it again is safe. */
export class Unavailable extends Error {
  override name = 'Unavailable';
}

/** The answer was a success and not what the service API promises. */
export class BadAnswer extends Error {
  override name = 'BadAnswer';
}

export interface PlatformOptions {
  /** = `ONDOL_URL`. */
  url?: string;
  /** = `ONDOL_TOKEN`. */
  token?: string;
  /** = `ONDOL_SERVICE`: names the source of events. */
  service?: string;
}

/** How long a call is tried. */
export interface Patience {
  /** 8 unless told. */
  attempts?: number;
  /** Milliseconds for all of them, 30 s unless told. What the platform is asked to wait comes on top. */
  deadline?: number;
  signal?: AbortSignal;
}

export interface Call extends Patience {
  body?: string | Uint8Array;
  headers?: Record<string, string>;
  /** Milliseconds that the platform is asked to wait before it answers. */
  waits?: number;
}

export class Platform {
  readonly service: string;
  readonly #url: string;
  readonly #token: string;

  constructor(options: PlatformOptions = {}) {
    this.#url = options.url ?? variable('ONDOL_URL');
    this.#token = options.token ?? variable('ONDOL_TOKEN');
    this.service = options.service ?? variable('ONDOL_SERVICE');
  }

  /** The JSON object of a 2xx answer, empty where there is none. Throws `Refused`, `Unavailable`, `BadAnswer`. */
  async call(method: string, path: string, call: Call = {}): Promise<Record<string, unknown>> {
    const { attempts = 8, deadline = 30_000, waits = 0, signal } = call;
    const end = Date.now() + deadline + waits;
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      const result = await this.#attempt(method, path, call, Math.min(ATTEMPT + waits, end - Date.now()));
      if ('value' in result) return result.value;
      signal?.throwIfAborted();
      const wait = result.after ?? Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt);
      if (attempt >= attempts || Date.now() + wait > end) {
        throw new Unavailable(`the platform did not do it in ${attempt} attempts: ${result.why}`, {
          cause: result.cause,
        });
      }
      await pause(wait, undefined, signal && { signal });
    }
  }

  async #attempt(method: string, path: string, call: Call, within: number): Promise<Result> {
    const limit = AbortSignal.timeout(Math.max(1, Math.ceil(within)));
    let response: Response;
    let text: string;
    try {
      response = await fetch(new URL(path, this.#url), {
        method,
        headers: { ...call.headers, authorization: `Bearer ${this.#token}`, accept: 'application/json' },
        body: call.body ?? null,
        signal: call.signal ? AbortSignal.any([limit, call.signal]) : limit,
        redirect: 'manual',
      });
      text = await response.text();
    } catch (cause) {
      return { why: 'no answer', cause };
    }
    if (response.ok) return { value: parseAnswer(text) };
    if (response.status !== 429 && response.status < 500)
      throw new Refused(response.status, parseProblem(text));
    return { why: `${response.status}`, after: retryAfter(response.headers.get('retry-after')) };
  }
}

type Result =
  { value: Record<string, unknown> } | { why: string; cause?: unknown; after?: number | undefined };

function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: Ondol gives it to every service that it runs`);
  return value;
}

function parseAnswer(text: string): Record<string, unknown> {
  if (text === '') return {};
  const value = parseObject(text);
  if (!value) throw new BadAnswer('the platform answered with something that is no JSON object');
  return value;
}

const parseProblem = (text: string): Record<string, unknown> => parseObject(text) ?? {};

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, unknown> | null)
      : null;
  } catch {
    return null;
  }
}

/** Milliseconds. Of its two forms only that of seconds is used by the platform. */
function retryAfter(value: string | null): number | undefined {
  return value && /^\d{1,9}$/.test(value) ? Number(value) * 1000 : undefined;
}
