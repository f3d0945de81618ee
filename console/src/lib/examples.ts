// What an empty page teaches: the lines of a manifest that would bring something.

export const PUBLISHES = `events:
  publishes:
    - order.confirmed.v1`;

export const SUBSCRIBES = `events:
  subscribes:
    - name: points
      types: ["order.confirmed.v1"]
      push: /internal/events`;

export const STREAMS = `streams: [order]`;

export const OUTBOX = `outbox: true`;

export const RECONCILE = `reconcile: [orders.reconcile.yaml]`;
