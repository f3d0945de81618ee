import type { Answer, Refusal } from '$lib/answer';
import type { Product, Shop, Wallet } from '$lib/server/shop';
import { describe, expect, it } from 'vitest';
import { actions, load } from './+page.server';

const tea: Product = {
  id: 'tea',
  name: 'Tea',
  description: '',
  price: 250,
  currency: 'EUR',
  image_url: '/tea',
};
const wallet: Wallet = { balance: 1000, currency: 'EUR' };
const key = '018f3a5e-0000-4000-8000-000000000001';

const found = <T>(value: T): Answer<T> => ({ ok: true, value });
const refused = (status: number, reason = '', id: string | null = null): Answer<never> => {
  const refusal: Refusal = { status, reason, retryAfter: null, id };
  return { ok: false, refusal };
};

/** A request of a customer with this basket; `kept` is the basket's cookie after it. */
function request(basket: string, shop: Partial<Shop>, fields: Record<string, string> = {}) {
  const kept = { basket };
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  const event = {
    locals: { session: { token: 'secret' }, shop },
    url: new URL('http://shop.test/basket?/order'),
    request: { formData: async () => form },
    cookies: {
      get: () => kept.basket,
      set: (_: string, value: string) => void (kept.basket = value),
      delete: () => void (kept.basket = ''),
    },
  };
  return { event: event as never, kept };
}

describe('the page', () => {
  it('adds up what is in the basket', async () => {
    const shop: Partial<Shop> = { product: async () => found(tea), wallet: async () => found(wallet) };
    const data = await load(request('tea*3', shop).event);
    expect(data).toMatchObject({ total: { amount: 750, currency: 'EUR' }, wallet, order: 'tea*3' });
  });

  it('shows the rest while a product or the wallet cannot be had, and no total that would be wrong', async () => {
    const shop: Partial<Shop> = {
      product: async (id) => (id === 'tea' ? found(tea) : refused(503)),
      wallet: async () => refused(0, 'unreachable'),
    };
    const data = await load(request('tea*3 cup*1', shop).event);
    expect(data).toMatchObject({ total: null, wallet: null, order: 'tea*3 cup*1' });
    expect(data).toHaveProperty('lines', [
      { id: 'tea', quantity: 3, product: tea },
      { id: 'cup', quantity: 1, product: null },
    ]);
  });
});

describe('ordering', () => {
  const order = async (answer: Answer<{ id: string }>, fields = { key, order: 'tea*3' }) => {
    const placed: unknown[] = [];
    const shop: Partial<Shop> = {
      placeOrder: async (...asked) => {
        placed.push(asked);
        return answer;
      },
    };
    const { event, kept } = request('cup*9', shop, fields);
    const came = await Promise.resolve(actions.order!(event)).catch((thrown: unknown) => thrown);
    return { came, placed, kept };
  };

  it('takes what the page showed, under its key, and goes to the order with an empty basket', async () => {
    const { came, placed, kept } = await order(found({ id: 'o1' }));
    expect(placed).toEqual([[[{ id: 'tea', quantity: 3 }], key]]);
    expect(came).toMatchObject({ status: 303, location: '/orders/o1' });
    expect(kept.basket).toBe('');
  });

  it.each([0, 429, 500, 503])('gives key and order back when its answer is in doubt (%i)', async (status) => {
    const { came, kept } = await order(refused(status));
    expect(came).toMatchObject({ data: { retry: { key, order: 'tea*3' } } });
    expect(kept.basket).toBe('cup*9');
  });

  it('says why an order was cancelled, names it, and uses its key no more', async () => {
    const { came, kept } = await order(refused(409, 'insufficient_funds', 'o1'));
    expect(came).toMatchObject({ status: 409, data: { cancelled: 'o1' } });
    expect(came).not.toHaveProperty('data.retry');
    expect(kept.basket).toBe('cup*9');
  });

  it('sends to sign in whose token has ended', async () => {
    const { came } = await order(refused(401));
    expect(came).toMatchObject({ status: 303, location: '/sign-in?next=%2Fbasket' });
  });

  it.each([
    { key: 'mine', order: 'tea*3' },
    { key, order: '' },
  ])('refuses a form that is not ours: %o', async (fields) => {
    const { came, placed } = await order(found({ id: 'o1' }), fields);
    expect([came, placed]).toMatchObject([{ status: 400 }, []]);
  });
});
