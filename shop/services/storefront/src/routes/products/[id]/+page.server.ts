import { add, LINES, parseQuantity } from '$lib/basket';
import { required, text } from '$lib/server/guard';
import { keepBasket, readBasket } from '$lib/server/session';
import { invalid } from '$lib/words';
import { fail } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = async (event) => {
  return { product: required(event, await event.locals.shop.product(event.params.id)) };
};

export const actions: Actions = {
  default: async ({ request, params, cookies, url }) => {
    const quantity = parseQuantity(text(await request.formData(), 'quantity'));
    if (quantity === null) return fail(400, { wrong: invalid.quantity });
    const before = readBasket(cookies);
    const basket = add(before, { id: params.id, quantity });
    if (before.length === LINES && !basket.some(({ id }) => id === params.id)) {
      return fail(400, { wrong: invalid.basketFull });
    }
    keepBasket(cookies, url, basket);
    return { added: quantity };
  },
};
