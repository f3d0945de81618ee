// Pulling: a loop that leases events of a subscription, hands each to the service, and acknowledges it.
//
// Any number of processes may pull one subscription; an event's key is leased to one of them at a time. Events of one
// batch have different keys, so they are handled side by side. Each is acknowledged as soon as its own effect is done, so
// a slow one holds none of the others up; what is not acknowledged in the lease's time is delivered again.

import type { CloudEvent } from './event.ts';
import { PlatformError, type Platform } from './platform.ts';

/** Thrown by a handler: the event can never be taken. It becomes a dead letter and its key is parked. */
export class Refused extends Error {
  override name = 'Refused';
}

export interface PullOptions {
  /** Events in one batch, and so handled side by side; 16 unless told. */
  limit?: number;
  /** Milliseconds that the platform waits while there is nothing; 20 s unless told. */
  wait?: number;
  /** Milliseconds in which an event must be acknowledged; 30 s unless told. */
  lease?: number;
  /** Ends the loop; what is being handled is finished and acknowledged first. */
  signal?: AbortSignal;
  /** Told of what the handler threw, and of calls that failed for good and are made again. */
  onError?: (error: unknown, event: CloudEvent | null) => void;
}

/** Done when the promise is. A throw is a try that failed; {@link Refused} is final. */
export type Handler = (event: CloudEvent) => Promise<void> | void;

interface Leased {
  lease: string;
  event: CloudEvent;
}

/**
 * Pulls the subscription called `name` (the short name of the manifest) until `signal`.
 *
 * While the platform is away it asks on; a refusal for good (no such subscription, wrong token) is thrown.
 */
export async function pull(
  platform: Platform,
  name: string,
  handler: Handler,
  options: PullOptions = {},
): Promise<void> {
  const { limit = 16, wait = 20_000, lease = 30_000, signal, onError = () => undefined } = options;
  const path = `/v1/subscriptions/${encodeURIComponent(name)}`;
  const body = JSON.stringify({ limit, wait: `${wait}ms`, lease: `${lease}ms` });
  while (!signal?.aborted) {
    const events = await take(platform, `${path}/pull`, body, wait, signal).catch((error: unknown) => {
      if (signal?.aborted) return [];
      if (error instanceof PlatformError && error.status < 500 && error.status !== 429) throw error;
      onError(error, null);
      return [];
    });
    await Promise.all(events.map((leased) => settle(platform, path, leased, handler, onError)));
  }
}

async function take(
  platform: Platform,
  path: string,
  body: string,
  waits: number,
  signal: AbortSignal | undefined,
): Promise<Leased[]> {
  const answer = await call<{ events: Leased[] }>(platform, path, body, { waits, signal });
  return answer.events;
}

async function settle(
  platform: Platform,
  path: string,
  { lease, event }: Leased,
  handler: Handler,
  onError: NonNullable<PullOptions['onError']>,
): Promise<void> {
  const outcome = await attempt(handler, event, onError);
  const leases = [lease];
  const [verb, body] = outcome === 'done' ? ['ack', { leases }] : ['nack', { leases, ...outcome }];
  // A lease that cannot be given back ends by itself, and the event comes again.
  await call(platform, `${path}/${verb}`, JSON.stringify(body)).catch((error: unknown) => {
    onError(error, event);
  });
}

/** `reject`: no further try. */
type Outcome = 'done' | { reject: boolean; reason: string };

async function attempt(
  handler: Handler,
  event: CloudEvent,
  onError: NonNullable<PullOptions['onError']>,
): Promise<Outcome> {
  try {
    await handler(event);
    return 'done';
  } catch (error) {
    onError(error, event);
    const reason = error instanceof Error ? error.message : String(error);
    return { reject: error instanceof Refused, reason: reason.slice(0, 1_000) };
  }
}

function call<T>(
  platform: Platform,
  path: string,
  body: string,
  more: { waits?: number; signal?: AbortSignal | undefined } = {},
): Promise<T> {
  return platform.call<T>('POST', path, { ...more, body, headers: { 'content-type': 'application/json' } });
}
