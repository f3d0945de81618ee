import { LINES, put, type Basket } from '$lib/basket';
import { required, signedIn } from '$lib/server/guard';
import { keepBasket, readBasket } from '$lib/server/session';
import { redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = async (event) => {
  signedIn(event);
  return { order: required(event, await event.locals.shop.order(event.params.id)) };
};

export const actions: Actions = {
  /** The same again: back into the basket, as many as were ordered. */
  default: async (event) => {
    signedIn(event);
    const order = required(event, await event.locals.shop.order(event.params.id));
    const lines = order.items
      .slice(0, LINES)
      .map((item) => ({ id: item.product_id, quantity: item.quantity }));
    keepBasket(event.cookies, event.url, lines.reduce<Basket>(put, readBasket(event.cookies)));
    redirect(303, '/basket');
  },
};
