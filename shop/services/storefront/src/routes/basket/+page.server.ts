import { inDoubt, optional } from '$lib/answer';
import { parseBasket, parseQuantity, put, remove, writeBasket } from '$lib/basket';
import { keyOf, refuseExpired, signedIn, text } from '$lib/server/guard';
import { keepBasket, readBasket } from '$lib/server/session';
import { invalid, orderInDoubt, refusalWords } from '$lib/words';
import { error, fail, redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = async ({ locals: { shop, session }, cookies }) => {
  const basket = readBasket(cookies);
  const [wallet, ...products] = await Promise.all([
    session ? shop.wallet().then(optional) : null,
    ...basket.map(({ id }) => shop.product(id).then(optional)),
  ]);
  // A product that cannot be asked for just now stays in the basket, without name and price.
  const lines = basket.map((line, n) => ({ ...line, product: products[n] ?? null }));
  const known = lines.flatMap(({ product, quantity }) => (product ? [{ product, quantity }] : []));
  const sum = known.reduce((sum, { product, quantity }) => sum + product.price * quantity, 0);
  const currency = known[0]?.product.currency;
  const total = currency && known.length === lines.length ? { amount: sum, currency } : null;
  return { lines, total, wallet, order: writeBasket(basket), key: crypto.randomUUID() };
};

export const actions: Actions = {
  change: async ({ request, cookies, url }) => {
    const form = await request.formData();
    const quantity = parseQuantity(text(form, 'quantity'));
    if (quantity === null) return fail(400, { message: invalid.quantity });
    keepBasket(cookies, url, put(readBasket(cookies), { id: text(form, 'id'), quantity }));
  },

  remove: async ({ request, cookies, url }) => {
    keepBasket(cookies, url, remove(readBasket(cookies), text(await request.formData(), 'id')));
  },

  /** Orders what the page showed, not what the basket has become since in another window. */
  order: async (event) => {
    signedIn(event);
    const form = await event.request.formData();
    const key = keyOf(form);
    const order = text(form, 'order');
    const basket = parseBasket(order);
    if (basket.length === 0) error(400, { message: invalid.form });
    const answer = await event.locals.shop.placeOrder(basket, key);
    if (answer.ok) {
      keepBasket(event.cookies, event.url, []);
      redirect(303, `/orders/${answer.value.id}`);
    }
    const { refusal } = answer;
    refuseExpired(event, refusal);
    if (!inDoubt(refusal))
      return fail(refusal.status, { message: refusalWords(refusal), cancelled: refusal.id });
    return fail(refusal.status || 503, { message: orderInDoubt(refusal), retry: { key, order } });
  },
};
