import { required, signedIn } from '$lib/server/guard';
import type { PageServerLoad } from './$types';

export const load: PageServerLoad = async (event) => {
  signedIn(event);
  return { order: required(event, await event.locals.shop.order(event.params.id)) };
};
