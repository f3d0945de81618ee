// From what the admin API calls a thing to the page that shows it. Pure.

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
