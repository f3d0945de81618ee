// Every page, with something on it and with nothing, in both themes and both languages: it says nothing to the browser's
// console, keeps nobody out, and fits a narrow screen. Pictures of all are left in test-results/.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { start } from '../fixture/server.js';
import { PICTURES, barriers, excess, launch, reader } from './browser.js';

/** @import { Browser } from 'playwright-core' */

/** @type {[string, string | ((ids: { id: string, state: string }[]) => string), string][]} name, path, what must be there */
const PAGES = [
  ['overview', '/', 'main table'],
  ['service', '/services/shipping', 'main table'],
  ['logs', '/services/orders/logs', '.line'],
  ['requests', '/services/orders/requests', '.line'],
  ['policies', '/services/orders/routes', 'main table'],
  ['sagas', '/sagas', '[role=row][data-key]'],
  ['saga-stuck', (ids) => `/sagas/${ids.find(({ state }) => state === 'stuck')?.id}`, '.bar'],
  ['saga-done', (ids) => `/sagas/${ids.find(({ state }) => state === 'done')?.id}`, '.bar'],
  ['topics', '/events', 'main table'],
  ['topic', '/events/topics/order.confirmed.v1', 'main table'],
  ['streams', '/events/streams', '[role=row][data-key]'],
  ['stream', '/events/streams/order-810', 'main table'],
  ['log', '/events/log', '[role=row][data-key]'],
  ['event', '/events/by-id/0abc', 'main pre'],
  ['subscriptions', '/events/subscriptions', 'main table'],
  ['subscription', '/events/subscriptions/notifications.orders', 'main table'],
  ['dead-letter', '/events/subscriptions/notifications.orders/order-810', 'main details'],
  ['outboxes', '/events/outboxes', 'main table'],
  ['checks', '/events/checks', 'main table'],
  ['check', '/events/checks/charged-is-shipped', 'main table'],
  ['flow', '/events/flows/order-810', '.node'],
  ['routes', '/routes', 'main table'],
  ['route', '/routes/place-order', 'main table'],
  ['nowhere', '/sagas/x/y', 'main h1'],
];
const EMPTY = [
  '/',
  '/sagas',
  '/events',
  '/events/streams',
  '/events/log',
  '/events/subscriptions',
  '/events/outboxes',
  '/events/checks',
  '/routes',
];

describe('every page', () => {
  /** @type {Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof start>>} */ let fixture;
  /** @type {{ id: string, state: string }[]} */ let ids;

  before(async () => {
    [browser, fixture] = await Promise.all([launch(), start()]);
    ({ ids } = await (await fetch(`${fixture.url}/fixture`)).json());
  });
  after(async () => {
    await browser.close();
    fixture.close();
  });

  for (const [locale, colorScheme] of /** @type {const} */ ([
    ['en-US', 'light'],
    ['ko-KR', 'dark'],
  ])) {
    it(`is for everybody, ${locale}, ${colorScheme}`, async () => {
      const { page, complaints } = await reader(browser, fixture.url, {
        locale,
        colorScheme,
        reducedMotion: 'reduce',
      });
      /** @type {string[]} */
      const found = [];
      for (const [name, path, there] of PAGES) {
        await page.goto(typeof path === 'string' ? path : path(ids));
        await page.locator(there).first().waitFor({ state: 'attached' });
        await page.screenshot({ path: `${PICTURES}${name}-${colorScheme}.png` });
        for (const wrong of [...(await barriers(page)), ...(await excess(page))])
          found.push(`${name}: ${wrong}`);
      }
      assert.deepEqual([...found, ...complaints], []);
      await page.context().close();
    });
  }

  it('teaches the next step where there is nothing yet', async () => {
    await fetch(`${fixture.url}/fixture`, { method: 'POST', body: '{"empty": true}' });
    const { page, complaints } = await reader(browser, fixture.url, { colorScheme: 'light' });
    for (const path of EMPTY) {
      await page.goto(path);
      await page.locator('.empty').first().waitFor();
      assert.deepEqual(await barriers(page), [], path);
    }
    assert.deepEqual(complaints, []);
    await fetch(`${fixture.url}/fixture`, { method: 'POST', body: '{"empty": false}' });
  });
});
