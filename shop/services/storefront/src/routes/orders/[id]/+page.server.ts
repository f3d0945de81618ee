import { optional } from '$lib/answer';
import { LINES, put, type Basket } from '$lib/basket';
import { required, signedIn } from '$lib/server/guard';
import { keepBasket, readBasket } from '$lib/server/session';
import { redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = async (event) => {
  signedIn(event);
  const { shop } = event.locals;
  // Asked at the same time. The page is whole without the parcel, so it never fails for it.
  const [order, parcel] = await Promise.all([shop.order(event.params.id), shop.parcel(event.params.id)]);
  return { order: required(event, order), parcel: optional(parcel) };
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
