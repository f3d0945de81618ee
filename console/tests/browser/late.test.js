// Answers that come late, twice, broken or not at all: what the pages show then.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { start } from '../fixture/server.js';
import { PATIENCE, launch, reader } from './browser.js';

/** @import { Browser, Page } from 'playwright-core' */

describe('the console with a slow or broken controller', () => {
  /** @type {Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof start>>} */ let fixture;
  /** @type {Page} */ let page;
  /** @type {string[]} */ let complaints;

  before(async () => void (browser = await launch()));
  after(() => browser.close());
  beforeEach(async () => {
    fixture = await start();
    ({ page, complaints } = await reader(browser, fixture.url));
  });
  afterEach(async () => {
    assert.deepEqual(complaints, []);
    await page.context().close();
    fixture.close();
  });

  /** @param {any} [wanted] */
  const configure = async (wanted = {}) =>
    (await fetch(`${fixture.url}/fixture`, { method: 'POST', body: JSON.stringify(wanted) })).json();
  /** Waits until the fixture says so. @param {(state: any) => boolean} is */
  const until = async (is) => {
    const end = performance.now() + PATIENCE;
    for (let state; !is((state = await configure()));) {
      assert.ok(performance.now() < end, `${is}: still ${JSON.stringify(state)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const live = () => page.getByText('Live', { exact: true }).waitFor();
  /** Everything that was told before has come: the mark beside Sagas is of this frame. */
  const heard = async () => {
    await configure({ tell: ['sagas', { put: { stuck: 77, parked: 0 } }] });
    await page.locator('nav .mark', { hasText: '77' }).waitFor();
  };
  /** Lets the page's clock run until something is so; each second leaves the network time of its own. @param {() => Promise<boolean>} is */
  const passes = async (is) => {
    while (!(await is())) await page.clock.runFor(1000);
  };
  const banner = () => page.getByRole('alert').filter({ hasText: 'does not answer' });
  const lost = () => banner().waitFor();

  /** An event at the log's end, as the live stream tells it. @param {number} position */
  const news = (position) => [
    'events',
    {
      put: { head: position },
      items: [
        { position, stream: 'order-9', revision: 0, id: `e${position}`, type: 'order.placed.v1', at: 0 },
      ],
    },
  ];

  it('reads the log when one comes from another tab of events, and says why it cannot', async () => {
    await page.goto('/events');
    await page.locator('main table').waitFor();
    await configure({ fail: '/v1/all' });
    await page.getByRole('link', { name: 'Log', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: 'EV-901' }).waitFor();
    await configure({ fail: '' });
    await page.getByRole('button', { name: 'Read again' }).click();
    await page.locator('[data-key="5000"]').waitFor();
    assert.equal(await page.getByText('EV-901').count(), 0);
  });

  it('keeps what is told while the first page is on its way', async () => {
    await configure({ hold: '/v1/all' });
    await page.goto('/events/log');
    await until(({ held, streams }) => held === 1 && streams === 1);
    await configure({ tell: news(5001) });
    await configure({ tell: news(5002) });
    await heard();
    await configure({ hold: '' });
    await page.locator('[data-key="5000"]').waitFor();
    await page.locator('[data-key="5002"]').waitFor();
    await page.locator('[data-key="5001"]').waitFor();
  });

  it('keeps sagas that start or end while the list is on its way', async () => {
    const { ids } = await configure({ hold: '/v1/sagas' });
    await page.goto('/sagas');
    await until(({ held, streams }) => held === 1 && streams === 1);
    const fresh = {
      id: 'f0000000-0000-7000-8000-000000000000',
      saga: 'place-order',
      state: 'running',
      step: 'charge',
    };
    const told = [
      { ...fresh, updated_at: 1 },
      { ...fresh, id: ids[0].id, state: 'stuck', updated_at: 1 },
    ];
    await configure({ tell: ['sagas', { items: told }] });
    await configure({ tell: ['sagas', { items: [{ ...told[0], state: 'parked' }] }] });
    await heard();
    await configure({ hold: '' });
    await page.locator(`[data-key="${ids[1].id}"]`).waitFor();
    await page.locator(`[data-key="${fresh.id}"]`, { hasText: 'parked' }).waitFor();
    await page.locator(`[data-key="${ids[0].id}"]`, { hasText: 'stuck' }).waitFor();
  });

  it('shows a slow answer, however often it is asked again meanwhile', async () => {
    await page.clock.install();
    await configure({ hold: '/v1/reconciliations' });
    await page.goto('/events/checks');
    await until(({ held }) => held === 1);
    await live();
    await page.clock.runFor(20_000);
    assert.equal((await configure()).asked, 1, 'one read at a time');
    await configure({ hold: '' });
    await page.getByText('confirmed-is-charged').waitFor();
  });

  it('shows all keys after the first hundred, each once, and none that is gone', async () => {
    await configure({ parked: 250 });
    await page.goto('/events/subscriptions/notifications.orders');
    const rows = page.locator('main tbody tr');
    await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length === 100);
    await page.getByRole('button', { name: 'More' }).click();
    await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length === 250);
    // The first ones are redriven: what follows moves up.
    await configure({ parked: 120 });
    await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length === 120);
    assert.equal(await rows.count(), 120);
  });

  it('shows an event whose time no browser reads', async () => {
    await configure({ time: '2016-12-31T23:59:60Z' });
    await page.goto('/events/topics/order.confirmed.v1');
    await page.locator('main tbody tr').first().waitFor();
    assert.match(await page.locator('main tbody tr').first().innerText(), /2016-12-31T23:59:60Z/);
    await page.goto('/events/log');
    await page.locator('[data-key="5000"]').waitFor();
  });

  it('is not live when nobody answers, and leaves no stream open', async () => {
    await page.clock.install();
    await page.goto('/');
    await live();
    await configure({ hang: true });
    // Another page follows other topics, by another stream.
    await page.getByRole('link', { name: /^Events/ }).click();
    await until(({ hung, streams }) => hung === 1 && streams === 0);
    await passes(() => banner().isVisible());
    for (let seconds = 0; seconds < 60; seconds += 1) {
      await page.clock.runFor(1000);
      // One try at a time; that the last one was let go of may come to the server after the next.
      await until(({ hung }) => hung <= 1);
    }
    await configure({ hang: false });
    await passes(async () => !(await banner().isVisible()));
    await until(({ hung, streams }) => hung === 0 && streams === 1);
  });

  it('lets go of a stream that falls silent', async () => {
    await page.clock.install();
    await page.goto('/');
    await live();
    await configure({ hang: true });
    await passes(() => banner().isVisible());
    await until(({ streams }) => streams === 0);
  });

  it('misses no line over a break, and marks where some are missing', async () => {
    await page.goto('/services/orders/logs');
    await page.locator('.line').first().waitFor();
    const count = async () =>
      Number(/of ([\d,]+) lines/.exec(await page.innerText('body'))?.[1]?.replace(',', ''));
    await configure({ away: true });
    await lost();
    const before = await count();
    await configure({ away: false });
    await live();
    while ((await count()) < before + 20);
    await page.locator('.line').last().click();
    // The first line has number 0: as many are shown as there are.
    const last = Number(/#(\d+)/.exec(await page.locator('.detail').innerText())?.[1]);
    assert.ok((await count()) > last);
    assert.equal(await page.getByText('Lines may be missing').count(), 0);
    // The supervisor has kept none of those that came meanwhile.
    await configure({ away: true });
    await lost();
    // The mark passes every filter.
    await page.getByRole('searchbox').fill('no such line');
    await page.getByText('No line passes the filter').waitFor();
    await configure({ away: false, forgotten: true });
    await page.locator('.line', { hasText: 'Lines may be missing' }).waitFor();
  });

  it('opens a line of the log by keys', async () => {
    await configure({ logRate: 0 });
    await page.goto('/services/orders/logs');
    await page.locator('.line').first().waitFor();
    await page.getByRole('log').focus();
    await page.keyboard.press('Enter');
    const detail = page.getByRole('region', { name: 'The line in full' });
    const number = Number(/#(\d+)/.exec(await detail.innerText())?.[1]);
    assert.ok(number > 0);
    await page.keyboard.press('ArrowUp');
    await detail.getByText(`#${number - 1}`).waitFor();
    await page.keyboard.press('j');
    await detail.getByText(`#${number}`).waitFor();
    await page.keyboard.press('Escape');
    await detail.waitFor({ state: 'detached' });
  });

  it('skips to the content', async () => {
    await page.goto('/sagas');
    await page.locator('[data-key]').first().waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.id === 'content');
  });

  it('acts after another tab signed in anew', async () => {
    await page.goto('/services/orders');
    const restart = async () => {
      await page.getByRole('button', { name: 'Restart' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click();
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
    };
    await restart();
    await configure({ csrf: 'of another sign-in' });
    await restart();
    assert.equal((await configure()).written.length, 2);
  });

  it('has a page for an address that is no address', async () => {
    for (const path of ['/%zz', '/sagas/%', '/events/topics/%E0%A4%A']) {
      await page.goto(path);
      await page.locator('main h1').waitFor();
    }
  });
});
