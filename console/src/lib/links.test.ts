import { expect, it } from 'vitest';
import { cause, delivery, linkOf } from './links';

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

it('a cause is an event or a call of a saga', () => {
  expect(cause({ kind: 'event', id: 'e/1', type: 'order.placed.v1' })).toMatchObject({
    name: 'order.placed.v1',
    href: '/events/by-id/e%2F1',
  });
  expect(cause({ kind: 'step', id: 'ID.pay.action' })).toMatchObject({ name: 'pay', href: '/sagas/ID' });
  expect(cause({ kind: 'step', id: 'ID.pay.compensate' }).name).toBe('pay (compensate)');
  expect(cause({ kind: 'step', id: 'elsewhere' }).href).toBe('/events/flows/elsewhere');
  expect(delivery({ subscription: 'points.orders', position: 1, state: 'parked' }).href).toBe(
    '/events/subscriptions/points.orders',
  );
});
