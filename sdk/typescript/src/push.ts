// A pushed event: Ondol's POST to the path that the subscription names, CloudEvents binary mode.
//
// Answer 2xx when its effect is durable, 400, 409 or 422 when it never can be (it becomes a dead letter and its key is
// parked), anything else to be asked again. The body's size is the web framework's to bound.

import { isJson, type CloudEvent } from './event.ts';
import { allHeaders, header, type HeaderSource } from './headers.ts';

/** The request is no event. Answer 400. */
export class BadPush extends Error {
  override name = 'BadPush';
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
/** Attributes that are numbers on Ondol's events. */
const NUMBERS = new Set(['revision', 'position']);

/** Reads a push. Throws `BadPush`. */
export function parsePush(headers: HeaderSource, body: Uint8Array): Push {
  const attributes = new Map<string, string>();
  for (const [name, value] of allHeaders(headers)) {
    if (!name.startsWith('ce-')) continue;
    const attribute = name.slice(3);
    if (!/^[a-z0-9]{1,64}$/.test(attribute)) throw new BadPush(`ce-${attribute} is no attribute's name`);
    attributes.set(attribute, decodeHeader(name, value));
  }
  if (attributes.get('specversion') !== '1.0') throw new BadPush('ce-specversion is not 1.0');
  for (const name of REQUIRED) {
    if (!attributes.get(name)) throw new BadPush(`ce-${name} is missing or empty`);
  }
  const subscription = header(headers, 'ondol-subscription');
  if (!subscription)
    throw new BadPush('Ondol-Subscription is missing: this path takes events from Ondol only');

  const event: Record<string, unknown> = {};
  for (const [name, value] of attributes) event[name] = NUMBERS.has(name) ? wholeNumber(name, value) : value;
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

/** CloudEvents HTTP binding 1.0.2, section 3.1.3.2: one round of quotes off, then one round of percent-decoding. */
function decodeHeader(name: string, value: string): string {
  const bare = /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(.)/gs, '$1') ?? value;
  try {
    return decodeURIComponent(bare);
  } catch {
    throw new BadPush(`${name} is not percent-encoded UTF-8`);
  }
}

function wholeNumber(name: string, value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new BadPush(`ce-${name} is not a whole number`);
  return Number(value);
}

function parseData(contentType: string, body: Uint8Array): unknown {
  if (!isJson(contentType) && !contentType.startsWith('text/')) return body;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    return isJson(contentType) ? JSON.parse(text) : text;
  } catch (error) {
    throw new BadPush(`the body is not ${contentType}`, { cause: error });
  }
}
