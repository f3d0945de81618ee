// Publishing: `POST /v1/events`, for events that need no transaction of the service's own (else: the outbox).
//
// Every event gets its id before the first attempt, so that a repeat after a lost answer is known as one. All events of
// a call are published or none.

import { BadEvent, check, isJson, type Checked, type NewEvent } from './event.ts';
import { header, type HeaderSource } from './headers.ts';
import { BadAnswer, type Patience, type Platform } from './platform.ts';

/** What the platform takes in one call. */
export const MAX_BATCH = 1_000;

export interface Published {
  id: string;
  position: number;
  /** It was published before, by an earlier attempt or under the same id. */
  duplicate: boolean;
}

export interface PublishOptions extends Patience {
  /** The request that is being handled: its `traceparent` and `baggage` travel on. Of an event: `causedBy(event)`. */
  request?: HeaderSource;
  /** How one event travels: the whole as JSON (unless told), or its attributes as headers and its data as the body. */
  mode?: 'structured' | 'binary';
}

/** Publishes one event. Throws `BadEvent`, `Unavailable`, `BadAnswer`, `Refused` (409: its id is in use with other content). */
export async function publish(
  platform: Platform,
  event: NewEvent,
  options: PublishOptions = {},
): Promise<Published> {
  const checked = complete(platform, event);
  const message = options.mode === 'binary' ? binary(checked) : structured(checked);
  const [published] = await send(platform, message, options);
  if (!published) throw new BadAnswer('the platform does not say where the event is');
  return published;
}

/** Publishes up to {@link MAX_BATCH} events in one call, in this order. */
export async function publishBatch(
  platform: Platform,
  events: readonly NewEvent[],
  options: Omit<PublishOptions, 'mode'> = {},
): Promise<Published[]> {
  if (events.length === 0) return [];
  if (events.length > MAX_BATCH)
    throw new BadEvent(`${events.length} events are more than the ${MAX_BATCH} of one call`);
  const body = JSON.stringify(events.map((event) => asJson(complete(platform, event))));
  return send(platform, { headers: { 'content-type': 'application/cloudevents-batch+json' }, body }, options);
}

interface Message {
  headers: Record<string, string>;
  body: string | Uint8Array;
}

async function send(
  platform: Platform,
  { headers, body }: Message,
  options: PublishOptions,
): Promise<Published[]> {
  for (const name of ['traceparent', 'baggage']) {
    const value = options.request && header(options.request, name);
    if (value) headers[name] = value;
  }
  const { events } = await platform.call('POST', '/v1/events', { ...options, headers, body });
  if (!Array.isArray(events)) throw new BadAnswer('the platform does not say where the events are');
  return events as Published[];
}

function complete(platform: Platform, event: NewEvent): Checked {
  return check({ ...event, source: event.source ?? `/services/${platform.service}` });
}

const structured = (event: Checked): Message => ({
  headers: { 'content-type': 'application/cloudevents+json' },
  body: JSON.stringify(asJson(event)),
});

function asJson({ id, type, attributes, data }: Checked): Record<string, unknown> {
  const content =
    data instanceof Uint8Array
      ? { data_base64: Buffer.from(data).toString('base64') }
      : { data: data ?? null };
  return { specversion: '1.0', id, type, ...attributes, ...content };
}

function binary({ id, type, attributes, data }: Checked): Message {
  const { datacontenttype, ...others } = attributes;
  const bytes = data instanceof Uint8Array;
  const contentType = String(datacontenttype ?? (bytes ? 'application/octet-stream' : 'application/json'));
  if (!bytes && !isJson(contentType)) throw new BadEvent(`data of the type ${contentType} is given as bytes`);
  const headers: Record<string, string> = { 'content-type': contentType };
  for (const [name, value] of Object.entries({ specversion: '1.0', id, type, ...others }))
    headers[`ce-${name}`] = encodeHeader(value);
  return { headers, body: bytes ? data : JSON.stringify(data ?? null) };
}

/** CloudEvents HTTP binding 1.0.2, section 3.1.3.2: printable ASCII but space, `"` and `%` stays; the rest is encoded. */
const encodeHeader = (value: string): string => value.replace(/[^!#$&-~]+/gu, encodeURIComponent);
