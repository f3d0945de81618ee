// A customer while services that the shop can do without hang: each page is there, and lacks what only that service knows.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { inspect, launch, visitor } from '../src/browser.js';
import { deposit, newAccount, orderAndAwait, putIntoBasket, registerToOrder } from '../src/customer.js';
import { canTakeAway, processes, without } from '../src/services.js';
import { story } from '../src/story.js';

/** @import { Browser, Page } from 'playwright-core' */

/** For a page whose parts are waited for in vain: up to five seconds for each, one after the other. */
const SLOW = { timeout: 30_000 };

describe(
  'a customer of a shop in which something hangs',
  { skip: !canTakeAway && 'SYSTEM and ONDOL are not set' },
  () => {
    /** @type {Browser} */ let browser;
    /** @type {Page} */ let page;
    /** @type {string} */ let order;
    const it = story();

    before(async () => {
      browser = await launch();
      ({ page } = await visitor(browser));
    });
    after(() => browser.close());

    /**
     * Loads the page again and again until this part of it, `main` for the whole, says what is waited for.
     *
     * @param {string} path
     * @param {string} part
     * @param {RegExp} words
     */
    async function eventually(path, part, words) {
      for (let left = 60; ; left--) {
        await page.goto(path);
        const found = part === 'main' ? page.getByRole('main') : page.getByTestId(part);
        const said = await found.innerText();
        if (words.test(said)) return;
        assert.ok(left > 0, `${path} says ${said}`);
        await page.waitForTimeout(500);
      }
    }

    const PROMISED = /^(Expected|Delivered)/;
    const MAIL = /Your order is on its way/;
    /** One for each full euro of a teapot. */
    const POINTS = /^54$/;

    it('has an order', async () => {
      await putIntoBasket(page, 'teapot', 'Celadon teapot', 1);
      await registerToOrder(page, newAccount());
      await deposit(page, '500');
      await orderAndAwait(page);
      order = new URL(page.url()).pathname;
    });

    it('is told when it arrives, once a carrier has promised it', async () => {
      if ((await processes('carriers')).length === 0) return;
      await eventually(order, 'delivery', PROMISED);
      await inspect(page, 'order-with-delivery');
    });

    it('still is while the carriers hang: their last answer is kept', async () => {
      if ((await processes('carriers')).length === 0) return;
      await without('carriers', async () => {
        await page.goto(order, SLOW);
        assert.match(await page.getByTestId('delivery').innerText(), PROMISED);
      });
    });

    it('sees the order without its parcel while shipping hangs', async () => {
      await without('shipping', async () => {
        await page.goto(order, SLOW);
        await page.getByTestId('status').getByText('Confirmed', { exact: true }).waitFor();
        assert.match(await page.getByTestId('delivery').innerText(), /cannot be said right now/);
      });
      await inspect(page, 'order-without-shipping');
    });

    it('sees points, and the wallet without them while points hangs', async () => {
      if ((await processes('points')).length > 0) await eventually('/wallet', 'points', POINTS);
      await without('points', async () => {
        await page.goto('/wallet', SLOW);
        assert.match(await page.getByTestId('points').innerText(), /cannot be shown right now/);
        assert.match(await page.getByTestId('balance').innerText(), /^€/);
      });
      await inspect(page, 'wallet-without-points');
    });

    it('reads a message of the order, and of none while notifications hangs', async () => {
      if ((await processes('notifications')).length > 0) await eventually('/messages', 'main', MAIL);
      await without('notifications', async () => {
        await page.goto('/messages', SLOW);
        await page.getByText('Your messages cannot be shown right now').waitFor();
      });
      await inspect(page, 'messages-without-notifications');
    });

    it('sees the goods without pictures while media hangs', async () => {
      await without('media', async () => {
        await page.goto('/', { ...SLOW, waitUntil: 'domcontentloaded' });
        await page.getByRole('article').first().waitFor();
      });
    });

    it('finds everything again afterwards', async () => {
      if ((await processes('notifications')).length > 0) await eventually('/messages', 'main', MAIL);
      if ((await processes('points')).length > 0) await eventually('/wallet', 'points', POINTS);
      if ((await processes('carriers')).length > 0) await eventually(order, 'delivery', PROMISED);
    });
  },
);
