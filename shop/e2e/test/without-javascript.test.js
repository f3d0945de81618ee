// The way to an order without JavaScript: all of it is links and forms.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { GATEWAY, launch, visitor } from '../src/browser.js';
import {
  balance,
  deposit,
  newAccount,
  orderAndAwait,
  putIntoBasket,
  registerToOrder,
  signIn,
} from '../src/customer.js';
import { story } from '../src/story.js';

/** @import { Browser, BrowserContext, Page } from 'playwright-core' */

describe('a customer without JavaScript', () => {
  /** @type {Browser} */ let browser;
  /** @type {BrowserContext} */ let context;
  /** @type {Page} */ let page;
  const account = newAccount();
  const it = story();

  before(async () => {
    browser = await launch();
    ({ context, page } = await visitor(browser, { javaScriptEnabled: false }));
  });
  after(() => browser.close());

  it('registers on the way from the basket, pays in and orders', async () => {
    await putIntoBasket(page, 'walnut', 'Walnut tray', 1);
    await putIntoBasket(page, 'rice pot', 'Cast-iron rice pot', 1);
    await registerToOrder(page, account);
    await deposit(page, '500');
    const total = await orderAndAwait(page);
    assert.equal(await balance(page), 50_000 - total);
  });

  it('sends one form twice and has one order', async () => {
    await putIntoBasket(page, 'walnut', 'Walnut tray', 1);
    await page.goto('/basket');
    const hidden = (/** @type {string} */ name) => page.locator(`input[name=${name}]`).inputValue();
    const form = { key: await hidden('key'), order: await hidden('order') };
    const headers = { accept: 'text/html', origin: new URL(GATEWAY).origin };
    const send = () => context.request.post('/basket?/order', { form, headers, maxRedirects: 0 });
    const answers = await Promise.all([send(), send()]);
    assert.deepEqual(
      answers.map((answer) => answer.status()),
      [303, 303],
    );
    const [one, two] = answers.map((answer) => answer.headers().location);
    assert.match(one ?? '', /^\/orders\/[0-9a-f-]{36}$/);
    assert.equal(one, two);
  });

  it('signs out and in', async () => {
    await page.goto('/');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Register' }).waitFor();
    await signIn(page, account);
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.goto('/orders');
    assert.equal(await page.getByRole('main').getByRole('listitem').count(), 2);
  });
});
