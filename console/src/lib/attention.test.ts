import { describe, expect, it } from 'vitest';
import { attention, lettersAt } from './attention';
import type { Outbox, Reconciliation, Subscription } from './types';

const subscription = (name: string, parked_keys: number) => ({ name, parked_keys }) as Subscription;
const outbox = (service: string, poisoned: number) => ({ service, poisoned }) as Outbox;
const check = (state: string) => ({ state }) as Reconciliation;

describe('attention', () => {
  it('counts sagas, letters of subscriptions and outboxes, and checks that fail', () => {
    const sagas = { parked: 1, stuck: 2, running: 9, done: 50 };
    const checks = ['pass', 'fail', 'unknown', 'fail'].map(check);
    expect(attention(sagas, [subscription('points.orders', 4)], [outbox('users', 3)], checks)).toEqual({
      sagas: 3,
      letters: 7,
      checks: 2,
    });
  });

  it('is nothing before anything is known', () =>
    expect(attention({}, [], [], [])).toEqual({ sagas: 0, letters: 0, checks: 0 }));
});

describe('letters', () => {
  const [none, some, more] = [subscription('a.x', 0), subscription('b.y', 1), subscription('c.z', 2)];
  it.each([
    ['one subscription', [none, some], [], '/events/subscriptions/b.y'],
    ['several subscriptions', [some, more], [], '/events/subscriptions'],
    ['one outbox', [none], [outbox('users', 1)], '/events/subscriptions/users.outbox'],
    ['several outboxes', [], [outbox('users', 1), outbox('payments', 1)], '/events/outboxes'],
    ['both', [some], [outbox('users', 1)], '/events/subscriptions'],
  ])('lie in %s', (_, subscriptions, outboxes, at) => expect(lettersAt(subscriptions, outboxes)).toBe(at));
});
