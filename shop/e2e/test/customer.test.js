// A customer from the front page to the parcel and out again, with JavaScript.
//
// One story, told in order: each part stands on what the one before it left behind.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { GATEWAY, inspect, launch, visitor } from '../src/browser.js';
import {
  balance,
  deposit,
  newAccount,
  orderAndAwait,
  orderInVain,
  putIntoBasket,
  registerToOrder,
  signIn,
} from '../src/customer.js';
import { story } from '../src/story.js';

/** @import { Browser, BrowserContext, Page } from 'playwright-core' */

describe('a customer', () => {
  /** @type {Browser} */ let browser;
  /** @type {BrowserContext} */ let context;
  /** @type {Page} */ let page;
  /** @type {string[]} */ let complaints;
  const account = newAccount();
  const it = story();

  before(async () => {
    browser = await launch();
    ({ context, page, complaints } = await visitor(browser));
  });
  after(() => browser.close());

  it('sees the goods, page after page', async () => {
    await page.goto('/');
    const first = await page.getByRole('article').first().innerText();
    await page.waitForFunction(() =>
      [...document.images].every(
        (one) => !one.src.includes('/api/') || one.loading === 'lazy' || one.naturalWidth > 0,
      ),
    );
    await inspect(page, 'home');
    await page.getByRole('link', { name: 'More of them' }).click();
    await page.waitForURL(/after=/);
    assert.notEqual(await page.getByRole('article').first().innerText(), first);
  });

  it('is told when nothing is found, or nothing is there', async () => {
    await page.goto('/?q=zeppelin');
    await page.getByText('Nothing of that kind').waitFor();
    assert.equal((await page.goto('/products/none'))?.status(), 404);
    await page.getByRole('heading', { name: 'Not here' }).waitFor();
    await inspect(page, 'not-found');
  });

  it('searches, and fills a basket', async () => {
    await putIntoBasket(page, 'teapot', 'Celadon teapot', 2);
    await inspect(page, 'product');
    await putIntoBasket(page, 'barley', 'Barley tea cup', 1);
    await page.goto('/basket');
    assert.equal(await page.getByTestId('total').innerText(), '€120.50');
    await inspect(page, 'basket-of-a-visitor');
  });

  it('changes the basket', async () => {
    await page.getByRole('spinbutton', { name: 'How many of Celadon teapot' }).fill('1');
    await page.getByRole('button', { name: 'Change how many of Celadon teapot' }).click();
    await page.getByTestId('total').getByText('€66.50').waitFor();
  });

  it('registers, and is back at the basket', async () => {
    await page.goto('/register');
    await inspect(page, 'register');
    await registerToOrder(page, account);
    assert.equal(new URL(page.url()).pathname, '/basket');
  });

  it('learns that the wallet is empty, and puts the same into the basket again', async () => {
    await orderInVain(page, 'not enough money in your wallet');
    await inspect(page, 'order-cancelled');
    await page.getByRole('button', { name: 'Put the same into the basket' }).click();
    await page.getByTestId('total').getByText('€66.50').waitFor();
  });

  it('fills the wallet', async () => {
    await deposit(page, '20000');
    await inspect(page, 'wallet');
    await page.getByLabel('Add, in euros').fill('many');
    await page.getByRole('button', { name: 'Add money' }).click();
    await page.getByText('An amount such as').waitFor();
    assert.equal(await balance(page), 2_000_000);
  });

  it('orders by a double click, once, and watches it become confirmed', async () => {
    const total = await orderAndAwait(page);
    assert.equal(total, 6650);
    await page.getByText('Payment taken, parcel handed over').waitFor();
    await page.getByTestId('delivery').waitFor();
    await inspect(page, 'order-confirmed');
    assert.equal(await balance(page), 2_000_000 - total);
    await page.goto('/orders');
    assert.equal(await page.getByText('Confirmed', { exact: true }).count(), 1);
    assert.equal(await page.getByText('Cancelled', { exact: true }).count(), 1);
    await inspect(page, 'orders');
  });

  it('is shown messages and points, or told calmly that they cannot be had', async () => {
    await page.goto('/messages');
    await page.getByRole('heading', { level: 1, name: 'Messages' }).waitFor();
    await inspect(page, 'messages');
    await page.goto('/wallet');
    await page.getByTestId('points').waitFor();
  });

  it('orders more than there is, is told so, and keeps the money', async () => {
    const had = await balance(page);
    // One of the thousand was just bought.
    await putIntoBasket(page, 'barley', 'Barley tea cup', 1000);
    await orderInVain(page, 'not so many left in stock');
    assert.equal(await balance(page), had);
  });

  it('signs out, mistypes the password, and signs in', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Register' }).waitFor();
    await page.goto('/orders');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await signIn(page, account, 'not the password');
    await page.getByRole('alert').getByText('do not belong together').waitFor();
    await inspect(page, 'sign-in-refused');
    await signIn(page, account);
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  });

  it('is not acted for by the pages of others', async () => {
    const cookies = await context.cookies();
    const session = cookies.find(({ name }) => name === 'session');
    assert.deepEqual([session?.httpOnly, session?.sameSite], [true, 'Lax']);
    const form = {
      headers: { accept: 'text/html', origin: 'https://elsewhere.example' },
      form: {},
      maxRedirects: 0,
    };
    assert.equal((await context.request.post('/sign-out', form)).status(), 403);
    const own = { ...form, headers: { accept: 'text/html', origin: new URL(GATEWAY).origin } };
    assert.equal((await context.request.post('/sign-out', own)).status(), 303);
  });

  it('has met nothing that the browser objected to', () => {
    // A page that is not there is reported by the browser too; it was asked for.
    assert.deepEqual(
      complaints.filter((text) => !text.includes('status of 404')),
      [],
    );
  });
});
