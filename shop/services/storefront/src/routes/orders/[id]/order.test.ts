import type { Answer } from '$lib/answer';
import type { Order, Parcel, Shop } from '$lib/server/shop';
import { describe, expect, it } from 'vitest';
import { load } from './+page.server';

const found = <T>(value: T) => Promise.resolve<Answer<T>>({ ok: true, value });
const refused = (status: number) =>
  Promise.resolve<Answer<never>>({
    ok: false,
    refusal: { status, reason: 'x', retryAfter: null, id: null },
  });

const order: Order = {
  id: 'o1',
  status: 'confirmed',
  items: [],
  total: 100,
  currency: 'EUR',
  reason: null,
  history: [],
};
const parcel: Parcel = { tracking: 'ON-1', delivery: null };

const page = (shop: Partial<Shop>) =>
  load({
    locals: { session: { token: 'secret' }, shop },
    params: { id: 'o1' },
    url: new URL('http://shop.test/orders/o1'),
    cookies: { delete: () => undefined },
  } as never);

describe('the page of an order', () => {
  it('has the order and its parcel', async () => {
    const asked: string[] = [];
    const data = page({
      order: () => found(order),
      parcel: (id) => {
        asked.push(id);
        return found(parcel);
      },
    });
    expect(await data).toEqual({ order, parcel });
    expect(asked).toEqual(['o1']);
  });

  it.each([0, 401, 404, 429, 500, 503])(
    'lacks the parcel alone while asking for it ends with %s',
    async (status) => {
      expect(await page({ order: () => found(order), parcel: () => refused(status) })).toEqual({
        order,
        parcel: null,
      });
    },
  );

  it('is none without the order', async () => {
    const without = page({ order: () => refused(503), parcel: () => found(parcel) });
    await expect(without).rejects.toMatchObject({ status: 503 });
  });
});
