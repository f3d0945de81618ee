// From what the admin API calls a thing to the page that shows it. Pure.

import type { Link, Standing } from './types';

/** `/v1/sagas/ID` and the like; `null` where there is no page. */
export function linkOf(link: string | null | undefined): string | null {
  if (!link) return null;
  const path = link.replace(/^\/v1\//, '/');
  const event = /^\/events\/([^/]+)$/.exec(path);
  if (event !== null) return `/events/by-id/${event[1] ?? ''}`;
  const inEvents = /^\/(streams|topics|subscriptions|flows)\/([^/]+)/.exec(path);
  if (inEvents !== null) return `/events/${inEvents[1] ?? ''}/${inEvents[2] ?? ''}`;
  return /^\/(sagas|services|routes|events)(\/|$)/.test(path) ? path : null;
}

/** Something that an event has to do with. */
export interface Related {
  kind: 'event' | 'step' | 'delivery';
  name: string;
  href: string;
  id?: string;
  state?: string;
}

/** A cause or an effect. A saga's call is named by its key `SAGA.STEP.action`. */
export function cause({ kind, id, type }: Link): Related {
  const event = { kind, name: type ?? id, href: `/events/by-id/${encodeURIComponent(id)}`, id };
  if (kind === 'event') return event;
  const [saga = '', step, op] = id.split('.');
  if (step === undefined) return { kind, name: id, href: `/events/flows/${encodeURIComponent(id)}` };
  return { kind, name: op === 'compensate' ? `${step} (${op})` : step, href: `/sagas/${saga}`, id: saga };
}

export function delivery({ subscription, state }: Standing): Related {
  return {
    kind: 'delivery',
    name: subscription,
    href: `/events/subscriptions/${encodeURIComponent(subscription)}`,
    state,
  };
}
