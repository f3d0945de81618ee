// Publishing: `POST /v1/events`, for events that need no transaction of the service's own (else: the outbox).
//
// Every event gets its id before the first attempt, so that a repeat after a lost answer is known as one. All events of
// a call are published or none.

import { randomUUID } from 'node:crypto';
import { isJson, type NewEvent } from './event.ts';
import type { Platform } from './platform.ts';

/** What the platform takes in one call. */
export const MAX_BATCH = 1_000;

export interface Published {
  id: string;
  position: number;
  /** It was published before, by an earlier attempt or under the same id. */
  duplicate: boolean;
}

export interface PublishOptions {
  signal?: AbortSignal;
  /** How one event travels: its attributes as headers, or the whole as JSON (= structured). */
  mode?: 'binary' | 'structured';
}

/** Publishes one event. Throws `PlatformError`: 409 when its id is in use with other content. */
export async function publish(
  platform: Platform,
  event: NewEvent,
  options: PublishOptions = {},
): Promise<Published> {
  const whole = complete(platform, event);
  const { headers, body } = options.mode === 'binary' ? binary(whole) : structured(whole);
  const [published] = await send(platform, headers, body, options.signal);
  if (!published) throw new Error('the platform did not say where the event is');
  return published;
}

/** Publishes up to {@link MAX_BATCH} events in one call, in this order. */
export async function publishBatch(
  platform: Platform,
  events: readonly NewEvent[],
  options: Pick<PublishOptions, 'signal'> = {},
): Promise<Published[]> {
  if (events.length === 0) return [];
  if (events.length > MAX_BATCH) throw new RangeError(`${events.length} events; one call takes ${MAX_BATCH}`);
  const body = JSON.stringify(events.map((event) => complete(platform, event)));
  return send(platform, { 'content-type': 'application/cloudevents-batch+json' }, body, options.signal);
}

async function send(
  platform: Platform,
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal | undefined,
): Promise<Published[]> {
  const answer = await platform.call<{ events: Published[] }>('POST', '/v1/events', {
    headers,
    body,
    signal,
  });
  return answer.events;
}

function complete(platform: Platform, { id, source, ...event }: NewEvent): NewEvent {
  return {
    specversion: '1.0',
    id: id ?? randomUUID(),
    source: source ?? `/services/${platform.service}`,
    datacontenttype: 'application/json',
    ...event,
  };
}

function structured(event: NewEvent) {
  return { headers: { 'content-type': 'application/cloudevents+json' }, body: JSON.stringify(event) };
}

function binary({ data, datacontenttype, ...attributes }: NewEvent) {
  const contentType = typeof datacontenttype === 'string' ? datacontenttype : 'application/json';
  const headers: Record<string, string> = { 'content-type': contentType };
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) headers[`ce-${name}`] = encodeHeader(text(name, value));
  }
  return { headers, body: isJson(contentType) ? JSON.stringify(data) : text('data', data) };
}

function text(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new TypeError(`the attribute ${name} of an event is text, a number or true or false`);
}

/** CloudEvents HTTP binding 1.0.2, section 3.1.3.2: printable ASCII but space, `"` and `%` stays; the rest is encoded. */
function encodeHeader(value: string): string {
  return value.replace(/[^!#$&-~]+/gu, encodeURIComponent);
}
