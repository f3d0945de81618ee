import { expect, it } from 'vitest';
import { linkOf } from './links';

it.each([
  ['/v1/sagas/1', '/sagas/1'],
  ['/v1/events/a%2Fb', '/events/by-id/a%2Fb'],
  ['/v1/streams/order-1', '/events/streams/order-1'],
  ['/v1/subscriptions/points.orders/keys/x', '/events/subscriptions/points.orders'],
  ['/events/by-id/1', '/events/by-id/1'],
  ['/elsewhere', null],
  ['https://example.org', null],
  [null, null],
])('%s leads to %s', (link, page) => expect(linkOf(link)).toBe(page));
