// CloudEvents 1.0, as this package writes and reads them.

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
  data?: T;
  [extension: string]: unknown;
}

/** An event to be published. What is missing is filled in: `id` by this package, `source` and `time` by Ondol. */
export interface NewEvent<T = unknown> {
  type: string;
  data: T;
  /** Makes publishing it twice the same as once; a random UUID unless given. */
  id?: string;
  source?: string;
  time?: string;
  subject?: string;
  partitionkey?: string;
  correlationid?: string;
  causationid?: string;
  traceparent?: string;
  /** RFC 3339: not delivered before it, and in no order with other events. */
  deliverat?: string;
  [extension: string]: unknown;
}

/**
 * The attributes that make an event part of what a request belongs to: `traceparent`, and `correlationid` and
 * `causationid` from W3C baggage. Spread them into a `NewEvent`; of a push they name the pushed event as the cause.
 */
export function contextOf(
  headers: HeaderSource,
): Partial<Record<'traceparent' | 'correlationid' | 'causationid', string>> {
  const traceparent = header(headers, 'traceparent');
  const baggage = parseBaggage(header(headers, 'baggage') ?? '');
  const [correlationid, causationid] = [baggage.get('correlation-id'), baggage.get('causation-id')];
  return {
    ...(traceparent && { traceparent }),
    ...(correlationid && { correlationid }),
    ...(causationid && { causationid }),
  };
}

/** W3C baggage: `name=value;property, name=value`, values percent-encoded. A member that cannot be read is left out. */
function parseBaggage(text: string): Map<string, string> {
  const members = new Map<string, string>();
  for (const member of text.split(',')) {
    const [pair = ''] = member.split(';');
    const equals = pair.indexOf('=');
    if (equals < 0) continue;
    try {
      members.set(pair.slice(0, equals).trim(), decodeURIComponent(pair.slice(equals + 1).trim()));
    } catch {
      continue;
    }
  }
  return members;
}

/** Whether a media type is JSON: `application/json`, `application/vnd.shop+json`. */
export const isJson = (mediaType: string): boolean => /^[^;]*[/+]json\s*(;|$)/i.test(mediaType);
