// Pulling: events of a subscription are leased, handled and acknowledged.
//
// Any number of processes may pull one subscription; an event's key is leased to one of them at a time, and the events of
// one page have different keys. Each is acknowledged as soon as its own effect is done; what is not acknowledged in the
// lease's time is delivered again, so the effect needs the inbox.

import type { CloudEvent } from './event.ts';
import { BadAnswer, Refused, Unavailable, type Patience, type Platform } from './platform.ts';

/** Thrown by a handler: the event can never be taken. It becomes a dead letter and its key is parked. */
export class Reject extends Error {
  override name = 'Reject';
}

/** Done when the promise is. A throw is a try that failed; {@link Reject} is final. */
export type Handler = (event: CloudEvent) => Promise<void> | void;

export interface Leased {
  lease: string;
  event: CloudEvent;
}

export interface PullOptions {
  /** Events in one page; 16 unless told. */
  limit?: number;
  /** Milliseconds that the platform waits while there is nothing; 20 s unless told. */
  wait?: number;
  /** Milliseconds in which an event must be acknowledged; 30 s unless told. */
  lease?: number;
}

export interface RunOptions extends PullOptions {
  /** Events of a page that are handled side by side; 1 unless told. A page must be done in the lease's time. */
  parallel?: number;
  /** Ends the loop; what is being handled is finished and acknowledged first. */
  signal?: AbortSignal;
  /** Told of what the handler threw (with its event), and of a platform that was away. */
  onError?: (error: unknown, event: CloudEvent | null) => void;
}

/** Milliseconds as the service API writes durations. */
const duration = (milliseconds: number): string =>
  milliseconds % 1000 === 0 ? `${milliseconds / 1000}s` : `${milliseconds}ms`;

/** A pulled subscription by its short name, as in the manifest. */
export class Subscription {
  readonly #platform: Platform;
  readonly #path: string;

  constructor(platform: Platform, name: string) {
    this.#platform = platform;
    this.#path = `/v1/subscriptions/${encodeURIComponent(name)}`;
  }

  /** Leases what is there, waiting for the first event. */
  async pull(
    { limit = 16, wait = 20_000, lease = 30_000 }: PullOptions = {},
    patience: Patience = {},
  ): Promise<Leased[]> {
    const body = { limit, wait: duration(wait), lease: duration(lease) };
    const { events } = await this.#post('pull', body, { ...patience, waits: wait });
    if (!Array.isArray(events)) throw new BadAnswer('the platform gives no events');
    return events as Leased[];
  }

  /** Says that these are done. */
  async ack(leases: readonly string[], patience: Patience = {}): Promise<void> {
    await this.#post('ack', { leases }, patience);
  }

  /** Gives these back: to come again, after `delay` (milliseconds) where it is given, or never (`reject`). */
  async nack(
    leases: readonly string[],
    { delay, reject = false, reason }: { delay?: number; reject?: boolean; reason: string },
    patience: Patience = {},
  ): Promise<void> {
    const body = { leases, ...(delay !== undefined && { delay: duration(delay) }), reject, reason };
    await this.#post('nack', body, patience);
  }

  /**
   * Pulls and hands each event to `handler`, until `signal`.
   *
   * While the platform is away it asks on; a refusal (no such subscription, wrong token) is thrown as `Refused`.
   */
  async run(handler: Handler, options: RunOptions = {}): Promise<void> {
    const { parallel = 1, signal, onError = () => undefined, ...page } = options;
    while (!signal?.aborted) {
      const events = await this.#next(page, signal, onError);
      const work = async () => {
        for (let leased = events.shift(); leased; leased = events.shift()) {
          // What is not begun is left to its lease, and comes again to whoever pulls then.
          if (signal?.aborted) return;
          await this.#settle(leased, handler, onError);
        }
      };
      await Promise.all(Array.from({ length: Math.min(parallel, events.length) }, work));
    }
  }

  async #next(page: PullOptions, signal: AbortSignal | undefined, onError: OnError): Promise<Leased[]> {
    try {
      return await this.pull(page, signal && { signal });
    } catch (error) {
      if (signal?.aborted) return [];
      if (!(error instanceof Unavailable)) throw error;
      onError(error, null);
      return [];
    }
  }

  async #settle({ lease, event }: Leased, handler: Handler, onError: OnError): Promise<void> {
    try {
      const refusal = await attempt(handler, event, onError);
      await (refusal ? this.nack([lease], refusal) : this.ack([lease]));
    } catch (error) {
      if (error instanceof Refused || error instanceof Unavailable) onError(error, event);
      else throw error;
    }
  }

  #post(verb: string, body: object, call: Patience & { waits?: number }): Promise<Record<string, unknown>> {
    const headers = { 'content-type': 'application/json' };
    return this.#platform.call('POST', `${this.#path}/${verb}`, {
      ...call,
      headers,
      body: JSON.stringify(body),
    });
  }
}

type OnError = NonNullable<RunOptions['onError']>;

/** Why the event goes back; null when it was handled. */
async function attempt(
  handler: Handler,
  event: CloudEvent,
  onError: OnError,
): Promise<{ reject: boolean; reason: string } | null> {
  try {
    await handler(event);
    return null;
  } catch (error) {
    onError(error, event);
    const reason = error instanceof Error ? error.message : String(error);
    return { reject: error instanceof Reject, reason: reason.slice(0, 1_000) };
  }
}
