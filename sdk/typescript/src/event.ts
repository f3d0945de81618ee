// CloudEvents 1.0, as this package writes and reads them, and what of a request travels on with an event.
//
// `data` is whatever JSON can say, or bytes (a Uint8Array) with a media type of their own.
//
// What could never be published is refused before it is sent or written (`BadEvent`): an attribute's name is 1 to 20
// lower-case letters and digits, its value text of at most 512 bytes without control characters, a boolean or a 32-bit
// whole number; the type has at most 256 bytes, and beside the attributes that are named here there are at most 32.

import { randomUUID } from 'node:crypto';
import { header, type HeaderSource } from './headers.ts';

/** An event as it is delivered. Extensions stand beside the named attributes. */
export interface CloudEvent<T = unknown> {
  specversion: '1.0';
  id: string;
  source: string;
  type: string;
  /** RFC 3339; of the publisher's clock, for people and never for order. */
  time?: string;
  subject?: string;
  datacontenttype?: string;
  /** Events of one key are delivered one after another, in their order. */
  partitionkey?: string;
  correlationid?: string;
  causationid?: string;
  traceparent?: string;
  /** Where it stands: its stream, its place there, its place in the log of all events. */
  stream?: string;
  revision?: number;
  position?: number;
  data?: T;
  [extension: string]: unknown;
}

/** An event to be published. What is missing is filled in: `id` by this package, `time` by Ondol. */
export interface NewEvent<T = unknown> {
  type: string;
  data?: T;
  /** Makes publishing it twice the same as once; a random UUID unless given. */
  id?: string;
  /** = `/services/SERVICE`. */
  source?: string;
  time?: string;
  subject?: string;
  /** Of `data`; JSON unless given. */
  datacontenttype?: string;
  partitionkey?: string;
  correlationid?: string;
  causationid?: string;
  traceparent?: string;
  /** RFC 3339: not delivered before it, and in no order with other events. */
  deliverat?: string;
  [extension: string]: unknown;
}

/** The event could never be published: a mistake of the caller. */
export class BadEvent extends Error {
  override name = 'BadEvent';
}

type Attribute = string | number | boolean;

/** An event that has been checked, with an id. */
export interface Checked {
  id: string;
  type: string;
  /** All others. */
  attributes: Record<string, Attribute>;
  data: unknown;
}

/** Given by Ondol, never by a publisher; or not an attribute. */
const RESERVED = new Set(['stream', 'revision', 'position', 'ondolhops']);
/** Attributes that are texts, whatever others may be. */
const TEXTS = new Set([
  'source',
  'time',
  'subject',
  'datacontenttype',
  'dataschema',
  'partitionkey',
  'correlationid',
  'causationid',
  'traceparent',
  'deliverat',
]);
const MOMENTS = new Set(['time', 'deliverat']);
/** Longest attribute and longest type, in bytes. */
const LONGEST = 512;
const LONGEST_TYPE = 256;
const MOST_EXTENSIONS = 32;

/** Checks an event and gives it an id. Throws `BadEvent`. */
export function check({ id = randomUUID(), type, data, ...given }: NewEvent): Checked {
  delete given['specversion'];
  const attributes: Record<string, Attribute> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null) continue;
    if (!/^[a-z0-9]{1,20}$/.test(name) || RESERVED.has(name)) {
      throw new BadEvent(`${JSON.stringify(name)} is no attribute that an event may be given`);
    }
    attributes[name] = attribute(name, value);
  }
  for (const [name, value] of Object.entries({ id, type, source: attributes['source'] ?? '/' })) {
    if (typeof value !== 'string' || value === '' || !fits(value, name === 'type' ? LONGEST_TYPE : LONGEST)) {
      throw new BadEvent(
        `${name} of an event is a text that is neither empty nor too long and has no control characters`,
      );
    }
  }
  const extensions = Object.keys(attributes).filter((name) => !TEXTS.has(name) || name === 'deliverat');
  if (extensions.length > MOST_EXTENSIONS) {
    throw new BadEvent(`an event has at most ${MOST_EXTENSIONS} attributes of its own`);
  }
  return { id, type, attributes, data };
}

function attribute(name: string, value: unknown): Attribute {
  if (MOMENTS.has(name) && !(typeof value === 'string' && isMoment(value))) {
    throw new BadEvent(`${name} of an event is a moment as RFC 3339 writes it`);
  }
  if (typeof value === 'string' && fits(value, LONGEST)) return value;
  if (!TEXTS.has(name)) {
    if (typeof value === 'boolean') return value;
    if (typeof value === 'number' && value === (value | 0)) return value;
  }
  throw new BadEvent(
    `${name} of an event is text of at most ${LONGEST} bytes without control characters` +
      (TEXTS.has(name) ? '' : ', a boolean or a 32-bit whole number'),
  );
}

const isClean = (text: string): boolean => !/[\p{Cc}\p{Cs}]/u.test(text);

const fits = (text: string, longest: number): boolean => isClean(text) && Buffer.byteLength(text) <= longest;

/** `Date` alone would take the 30th of February for a day of March. */
const isMoment = (text: string): boolean =>
  /^\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/.test(text) &&
  new Date(text.slice(0, 10)).getUTCDate() === Number(text.slice(8, 10)) &&
  !Number.isNaN(Date.parse(text.toUpperCase()));

/** The attributes of what a request belongs to: `traceparent`, and the ids of its baggage. What is malformed is left out. */
export function attributesOf(request: HeaderSource): Record<string, string> {
  const baggage = parseBaggage(header(request, 'baggage') ?? '');
  const traceparent = header(request, 'traceparent');
  const found = {
    traceparent: TRACEPARENT.test(traceparent ?? '') ? traceparent : undefined,
    correlationid: baggage.get('correlation-id'),
    causationid: baggage.get('causation-id'),
  };
  const usable = Object.entries(found).filter(([, value]) => value && fits(value, LONGEST));
  return Object.fromEntries(usable) as Record<string, string>;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * The headers of a request that an event has caused: for calls and events that its handler makes. An event without a flow
 * begins one: its own id names it.
 */
export function causedBy({ id, correlationid, traceparent }: CloudEvent): Record<string, string> {
  const members = { 'correlation-id': correlationid || id, 'causation-id': id };
  const baggage = Object.entries(members).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return { ...(traceparent && { traceparent }), baggage: baggage.join(',') };
}

/** W3C baggage: `name=value;property, name=value`, values percent-encoded. A member that cannot be read is left out. */
function parseBaggage(text: string): Map<string, string> {
  const members = new Map<string, string>();
  for (const member of text.split(',')) {
    const [, name, value] = /^\s*([^=;\s]+)\s*=\s*([^;\s]*)/.exec(member) ?? [];
    if (name === undefined || value === undefined) continue;
    try {
      members.set(name, decodeURIComponent(value));
    } catch {
      continue;
    }
  }
  return members;
}

/** Whether a media type is JSON: `application/json`, `application/vnd.shop+json; charset=utf-8`. */
export const isJson = (mediaType: string): boolean => /^[^;]*[/+]json\s*(;|$)/i.test(mediaType);
