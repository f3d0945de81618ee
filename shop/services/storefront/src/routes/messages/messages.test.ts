import type { Answer, Refusal } from '$lib/answer';
import type { Mailbox, Shop } from '$lib/server/shop';
import { describe, expect, it } from 'vitest';
import { load as layout } from '../+layout.server';
import { load as wallet } from '../wallet/+page.server';
import { actions, load } from './+page.server';

const refusal = (status: number): Refusal => ({ status, reason: 'x', retryAfter: null, id: null });
const found = <T>(value: T) => Promise.resolve<Answer<T>>({ ok: true, value });
const refused = (status: number) => Promise.resolve<Answer<never>>({ ok: false, refusal: refusal(status) });

const mail = { id: 'e1', subject: 'Hello', body: 'Dear Kim', at: '2026-11-21T10:00:00.000Z', read: false };
const mailbox: Mailbox = { items: [mail], next: '7', unread: 3 };

/** A page's request of somebody who is signed in. */
function request(shop: Partial<Shop>, path = '/messages', fields: Record<string, string> = {}) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  const event = {
    locals: { session: { token: 'secret' }, shop },
    url: new URL(path, 'http://shop.test'),
    request: { formData: async () => form },
    cookies: { get: () => '', delete: () => undefined },
    untrack: (work: () => void) => work(),
  };
  return event as never;
}

describe('messages', () => {
  it('are shown with the way to older ones', async () => {
    const data = await load(request({ mailbox: () => found(mailbox) }));
    expect(data).toEqual({ mails: [mail], older: '/messages?after=7' });
  });

  it('say that they are away, and the page stays', async () => {
    for (const status of [0, 404, 500, 503]) {
      expect(await load(request({ mailbox: () => refused(status) }))).toMatchObject({ mails: null });
    }
  });

  it('are marked as read, or the form says that it could not be done', async () => {
    const asked: string[] = [];
    const readMail = (id: string) => {
      asked.push(id);
      return found({});
    };
    const done = actions['default']!(request({ readMail }, '/messages?after=9', { id: 'e1' }));
    await expect(done).rejects.toMatchObject({ status: 303, location: '/messages?after=9' });
    expect(asked).toEqual(['e1']);
    const failed = await actions['default']!(
      request({ readMail: () => refused(0) }, '/messages', { id: 'e1' }),
    );
    expect(failed).toMatchObject({ status: 503, data: { message: expect.stringContaining('right now') } });
  });
});

describe('what every page shows', () => {
  const all: Partial<Shop> = {
    me: () => found({ id: 'u1', email: 'kim@shop.example', name: 'Kim' }),
    wallet: () => found({ balance: 100, currency: 'EUR' }),
    unread: () => found(mailbox),
  };

  it('is whole when all answer', async () => {
    const account = { name: 'Kim', wallet: { balance: 100, currency: 'EUR' }, unread: 3 };
    expect(await layout(request(all))).toMatchObject({ account });
  });

  it.each<[keyof Shop, string]>([
    ['me', 'name'],
    ['wallet', 'wallet'],
    ['unread', 'unread'],
  ])('lacks one field alone while %s fails', async (call, field) => {
    const whole = await layout(request(all));
    const data = await layout(request({ ...all, [call]: () => refused(503) }));
    expect(data).toEqual({ ...whole, account: { ...(whole as { account: object }).account, [field]: null } });
  });
});

it('the wallet is shown without points while they cannot be had, and the other way round', async () => {
  const money = { balance: 100, currency: 'EUR' };
  const data = (shop: Partial<Shop>) => wallet(request(shop, '/wallet'));
  const here = { wallet: () => found(money), points: () => found({ balance: 42 }) };
  expect(await data(here)).toMatchObject({ wallet: money, points: 42 });
  expect(await data({ ...here, points: () => refused(503) })).toMatchObject({ wallet: money, points: null });
  expect(await data({ ...here, wallet: () => refused(503) })).toMatchObject({ wallet: null, points: 42 });
});
