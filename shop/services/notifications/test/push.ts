// Events as Ondol pushes them.

import { randomUUID } from 'node:crypto';

export interface Pushed {
  type: string;
  data: unknown;
  id?: string;
  stream?: string;
  headers?: Record<string, string>;
}

export const SUBSCRIPTION = 'notifications.mails';

export function push({ type, data, id = randomUUID(), stream, headers = {} }: Pushed) {
  return {
    headers: {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': '/services/orders',
      'ce-type': type,
      'ce-time': '2026-11-21T10:00:00Z',
      ...(stream && { 'ce-stream': stream }),
      'ondol-caller': 'ondol',
      'ondol-subscription': SUBSCRIPTION,
      'ondol-attempt': '1.1',
      ...headers,
    },
    body: JSON.stringify(data),
  };
}

export const confirmed = (customer: string, order: string, id?: string): Pushed => ({
  type: 'order.confirmed.v1',
  data: { customer, payment: 'c1', shipment: 's1', total: 6650, currency: 'EUR' },
  stream: `order-${order}`,
  ...(id && { id }),
});
