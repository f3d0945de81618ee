// A pushed event: Ondol's POST to the path that the subscription names, CloudEvents binary mode.
//
// Answer 2xx when its effect is durable, 409 or 422 when it never can be (it becomes a dead letter and its key is
// parked), anything else to be asked again. The body's size is the web framework's to bound.

import { isJson, type CloudEvent } from './event.ts';
import { allHeaders, header, type HeaderSource } from './headers.ts';

/** The request is no event for this path: answer with `status`. */
export class BadPush extends Error {
  override name = 'BadPush';
  /**
   * 400; 403 for a caller that is not Ondol; 404 for an event of another subscription, which is a mistake of the wiring and
   * must not become a dead letter.
   */
  readonly status: 400 | 403 | 404;

  constructor(message: string, options: { status?: 403 | 404; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = options.status ?? 400;
  }
}

export interface Push<T = unknown> {
  event: CloudEvent<T>;
  /** `SERVICE.NAME`; what the inbox counts by. */
  subscription: string;
  /** `Ondol-Attempt`, `<epoch>.<n>`. */
  attempt: string;
  /** Milliseconds that Ondol waits for the answer. */
  deadline: number | undefined;
}

const REQUIRED = ['id', 'source', 'type'] as const;
/** Attributes that are whole numbers on Ondol's events. */
const NUMBERS = new Set(['revision', 'position']);

/**
 * Reads a push; `expected` is the subscription (`SERVICE.NAME`) that the path is for, where it is for one.
 *
 * Only Ondol's own calls are taken: the proxy says who calls, in `Ondol-Caller`.
 * `data` is the JSON of the body, or the body's bytes when it is something else. Throws `BadPush`.
 */
export function parsePush(headers: HeaderSource, body: Uint8Array, expected?: string): Push {
  if (header(headers, 'ondol-caller') !== 'ondol') {
    throw new BadPush('this path takes events from Ondol only', { status: 403 });
  }
  const subscription = header(headers, 'ondol-subscription');
  if (!subscription) throw new BadPush('Ondol-Subscription is missing');
  if (expected !== undefined && subscription !== expected) {
    throw new BadPush(`this path takes events of ${expected}, not of ${subscription}`, { status: 404 });
  }
  const event: Record<string, unknown> = parseAttributes(headers);
  const contentType = header(headers, 'content-type');
  if (contentType !== undefined) event['datacontenttype'] = contentType;
  if (body.byteLength > 0) event['data'] = parseData(contentType ?? 'application/json', body);
  const deadline = header(headers, 'ondol-deadline-ms');
  return {
    event: event as CloudEvent,
    subscription,
    attempt: header(headers, 'ondol-attempt') ?? '0.0',
    deadline: deadline !== undefined && /^\d{1,9}$/.test(deadline) ? Number(deadline) : undefined,
  };
}

function parseAttributes(headers: HeaderSource): Record<string, string | number> {
  const attributes: Record<string, string | number> = {};
  for (const [header, value] of allHeaders(headers)) {
    if (!header.startsWith('ce-')) continue;
    const name = header.slice('ce-'.length);
    if (!/^[a-z0-9]{1,64}$/.test(name)) throw new BadPush(`${header} is no attribute's name`);
    const text = decodeHeader(header, value);
    attributes[name] = NUMBERS.has(name) ? parseNumber(header, text) : text;
  }
  if (attributes['specversion'] !== '1.0') throw new BadPush('ce-specversion is not 1.0');
  for (const name of REQUIRED) {
    if (!attributes[name]) throw new BadPush(`ce-${name} is missing or empty`);
  }
  return attributes;
}

/** CloudEvents HTTP binding 1.0.2, section 3.1.3.2: one round of quotes off, then one round of percent-decoding. */
function decodeHeader(name: string, value: string): string {
  const bare = /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(.)/gs, '$1') ?? value;
  try {
    return decodeURIComponent(bare);
  } catch {
    throw new BadPush(`${name} is not percent-encoded UTF-8`);
  }
}

function parseNumber(name: string, value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new BadPush(`${name} is not a whole number`);
  return Number(value);
}

function parseData(contentType: string, body: Uint8Array): unknown {
  if (/^application\/cloudevents/i.test(contentType)) throw new BadPush('pushes come in binary mode');
  if (!isJson(contentType)) return body;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new BadPush(`the body is not ${contentType}`, { cause });
  }
}
