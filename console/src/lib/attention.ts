// What waits for a person anywhere in the system: a system is not well because its services are. Pure.

import type { Outbox, Reconciliation, Subscription } from './types';

export interface Attention {
  /** Sagas that are parked or stuck. */
  sagas: number;
  /** Keys of subscriptions and rows of outboxes that are not tried any more. */
  letters: number;
  /** Checks whose last run found what does not fit. */
  checks: number;
}

export function attention(
  sagas: Record<string, number>,
  subscriptions: Subscription[],
  outboxes: Outbox[],
  checks: Reconciliation[],
): Attention {
  const parked = subscriptions.reduce((sum, one) => sum + one.parked_keys, 0);
  return {
    sagas: (sagas['parked'] ?? 0) + (sagas['stuck'] ?? 0),
    letters: outboxes.reduce((sum, one) => sum + one.poisoned, parked),
    checks: checks.filter(({ state }) => state === 'fail').length,
  };
}

/** Where the letters lie: the only subscription or outbox that has some, else the list in which the first one stands. */
export function lettersAt(subscriptions: Subscription[], outboxes: Outbox[]): string {
  const of = subscriptions.filter((one) => one.parked_keys > 0).map(({ name }) => name);
  const rows = outboxes.filter((one) => one.poisoned > 0).map(({ service }) => `${service}.outbox`);
  const [only] = [...of, ...rows];
  if (of.length + rows.length === 1) return `/events/subscriptions/${encodeURIComponent(only ?? '')}`;
  return of.length === 0 && rows.length > 0 ? '/events/outboxes' : '/events/subscriptions';
}
