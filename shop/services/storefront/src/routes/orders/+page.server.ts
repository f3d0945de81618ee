import { required, signedIn } from '$lib/server/guard';
import type { PageServerLoad } from './$types';

export const load: PageServerLoad = async (event) => {
  signedIn(event);
  const after = (event.url.searchParams.get('after') ?? '').slice(0, 200);
  const { items, next } = required(event, await event.locals.shop.orders({ limit: 20, after }));
  return { orders: items, older: next && `/orders?${new URLSearchParams({ after: next })}` };
};
