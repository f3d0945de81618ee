// What people do on the console: look, act, find, and lose the controller.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { start } from '../fixture/server.js';
import { barriers, launch, reader } from './browser.js';

/** @import { Browser, Page } from 'playwright-core' */

describe('the console at work', () => {
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

  /** @param {any} wanted */
  const configure = async (wanted) =>
    (await fetch(`${fixture.url}/fixture`, { method: 'POST', body: JSON.stringify(wanted) })).json();
  /** @param {string} state */
  const idOf = async (state) => {
    const { ids } = await configure({});
    return ids.find((/** @type {any} */ saga) => saga.state === state).id;
  };

  it('acts on a saga with a reason, and shows why it was refused', async () => {
    const id = await idOf('stuck');
    await page.goto(`/sagas/${id}`);
    await page.getByRole('button', { name: 'Skip' }).click();
    const dialog = page.getByRole('dialog');
    assert.deepEqual(await barriers(page), []);
    await dialog.getByRole('button', { name: 'Skip' }).click();
    assert.equal((await configure({})).written.length, 0, 'nothing without a reason');
    await dialog.getByLabel('Reason').fill('released by hand');
    await dialog.getByRole('button', { name: 'Skip' }).click();
    await dialog.waitFor({ state: 'hidden' });
    const { written } = await configure({});
    assert.deepEqual(written.at(-1), {
      method: 'POST',
      path: `/v1/sagas/${id}/actions`,
      body: { action: 'skip', reason: 'released by hand' },
    });

    await page.goto(`/sagas/${await idOf('running')}`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).last().click();
    await page.getByRole('alert').filter({ hasText: 'SG-013' }).waitFor();
    await page.keyboard.press('Escape');
  });

  it('shows what an action led to without being asked again', async () => {
    const id = await idOf('stuck');
    await page.goto(`/sagas/${id}`);
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click();
    await page.locator('main .pill', { hasText: 'done' }).waitFor();
  });

  it('filters by the address, and the address by the filter', async () => {
    await page.goto('/sagas?state=stuck');
    await page.locator('[data-key]').first().waitFor();
    assert.equal(await page.locator('[data-key]').count(), 1);
    await page.getByLabel('State').selectOption('aborted');
    await page.waitForURL(/state=aborted/);
    await page.locator('[data-key]', { hasText: 'aborted' }).first().waitFor();
    await page.getByRole('link', { name: 'Clear filters' }).click();
    await page.locator('[data-key]', { hasText: 'running' }).first().waitFor();
    const order = (await page.locator('[data-key]').nth(3).getAttribute('data-key'))?.slice(-12);
    await page.keyboard.press('/');
    await page.keyboard.type(String(order));
    await page.waitForFunction(() => document.querySelectorAll('[data-key]').length === 1);
  });

  it('keeps the focus on its row while sagas come and go', async () => {
    await page.goto('/sagas');
    await page.locator('[data-key]').first().focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('j');
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-key'));
    const key = await focused();
    assert.ok(key);
    const rows = await page.getByRole('grid').getAttribute('aria-rowcount');
    await configure({ sagaRate: 40 });
    await page.waitForFunction(
      (before) =>
        Number(document.querySelector('[role=grid]')?.getAttribute('aria-rowcount')) > Number(before) + 60,
      rows,
    );
    assert.equal(await focused(), key, 'though it is far below what is seen');
    await configure({ sagaRate: 0 });
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/sagas/${key}`);
  });

  it('does not move what is read, and offers what is newer', async () => {
    await page.goto('/sagas');
    await page.locator('[data-key]').first().waitFor();
    await page.getByRole('grid').evaluate((grid) => grid.scrollTo(0, 3600));
    await page.waitForFunction(
      () => Number(document.querySelector('[data-key]')?.getAttribute('aria-rowindex')) > 50,
    );
    const first = () => page.locator('[data-key]').first().getAttribute('data-key');
    const before = await first();
    await configure({ sagaRate: 40 });
    const newer = page.getByRole('button', { name: /newer/ });
    await newer.waitFor();
    assert.equal(await first(), before);
    await configure({ sagaRate: 0 });
    await newer.click();
    await page.waitForFunction(() => document.querySelector('[role=grid]')?.scrollTop === 0);
  });

  it('loads on while one scrolls', async () => {
    await page.goto('/sagas');
    await page.locator('[data-key]').first().waitFor();
    await page.getByRole('grid').evaluate((grid) => grid.scrollTo(0, grid.scrollHeight));
    await page.waitForFunction(
      () => Number(document.querySelector('[role=grid]')?.getAttribute('aria-rowcount')) > 900,
    );
  });

  it('says at once that the controller is lost, and comes back without a reload', async () => {
    await page.goto('/services/orders');
    await page.getByText('Live', { exact: true }).waitFor();
    await page.evaluate(() => Object.assign(window, { same: true }));
    await configure({ away: true });
    await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor({ timeout: 2000 });
    assert.deepEqual(await barriers(page), []);
    await page.getByRole('link', { name: 'Sagas' }).click();
    await configure({ away: false });
    await page.getByText('Live', { exact: true }).waitFor();
    await page.locator('[data-key]').first().waitFor();
    assert.equal(await page.getByText('does not answer').count(), 0);
    assert.equal(await page.evaluate(() => /** @type {any} */ (window).same), true);
  });

  it('asks for a link when nobody is signed in', async () => {
    await configure({ signedOut: true });
    await page.goto('/sagas');
    await page.getByText('ondol console').waitFor();
    assert.deepEqual(await barriers(page), []);
  });

  it('holds lines while paused, and filters them', async () => {
    await page.goto('/services/orders/logs');
    await page.locator('.line').first().waitFor();
    await page.keyboard.press('p');
    const last = () => page.locator('.line').last().innerText();
    const before = await last();
    await page.waitForFunction(() => /[1-9]\d* new while paused/.test(document.body.innerText));
    assert.equal(await last(), before);
    await page.keyboard.press('p');
    await page.getByText('new while paused').waitFor({ state: 'hidden' });
    await page.getByRole('searchbox').fill('/released after \\d+m$/');
    await page.waitForFunction(() => {
      const lines = [...document.querySelectorAll('.line')];
      return lines.length > 5 && lines.every((line) => line.textContent?.includes('released'));
    });
    await page.getByLabel('Level').selectOption('error');
    await page.getByText('No line passes the filter').waitFor();
  });

  it('finds everything by its name, by keys alone', async () => {
    await page.goto('/');
    await page.locator('main table').waitFor();
    await page.keyboard.press('Control+k');
    await page.keyboard.type('pay');
    assert.deepEqual(await barriers(page), []);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/services/payments');
    const id = await idOf('stuck');
    await page.keyboard.press('Control+k');
    await page.keyboard.insertText(id);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/sagas/${id}`);
    await page.keyboard.press('g');
    await page.keyboard.press('e');
    await page.waitForURL('**/events');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await page.goBack();
    await page.waitForURL(`**/sagas/${id}`);
  });

  it('shows how a subscription moves, in its list and on its page, without asking again', async () => {
    /** @type {string[]} */
    const asked = [];
    page.on('request', (request) => void asked.push(new URL(request.url()).pathname));
    await page.goto('/events/subscriptions');
    const row = page.getByRole('row').filter({ hasText: 'points.orders' });
    await row.getByText('running').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    await configure({ subscription: { lag: 77, state: 'waiting', reason: '503 from /internal/events' } });
    await row.getByText('503 from /internal/events').waitFor();
    await row.getByText('77', { exact: true }).waitFor();
    assert.equal(asked.filter((path) => path === '/v1/subscriptions').length, 1);

    await row.getByRole('link', { name: 'points.orders' }).click();
    await page.locator('dd').getByText('77', { exact: true }).waitFor();
    await configure({ subscription: { lag: 0, parked_keys: 2, parked_events: 5 } });
    await page.locator('dd.bad').waitFor();
    assert.equal(asked.filter((path) => path.endsWith('/points.orders')).length, 1);
  });

  it('is not well while letters are parked or a check fails, and leads there', async () => {
    await page.goto('/');
    const figure = (/** @type {string} */ name) => page.locator('dl > div', { hasText: name });
    await figure('checks fail').getByRole('link', { name: '1', exact: true }).waitFor();
    await figure('keys parked').locator('dd.bad').waitFor();
    assert.equal(await page.getByText('Everything is well').count(), 0);
    const mark = page.locator('nav .mark[title="keys parked"]');
    const before = Number(await mark.innerText());
    await configure({ subscription: { parked_keys: 500 } });
    await page.waitForFunction(
      (least) => Number(document.querySelector('nav .mark[title="keys parked"]')?.textContent) > least,
      before + 400,
    );
    await page
      .locator('nav')
      .getByRole('link', { name: /^Events/ })
      .click();
    const tab = page.getByRole('link', { name: /^Subscriptions/ });
    assert.ok(Number((await tab.innerText()).replace('Subscriptions', '')) > 400);
    await page.goBack();
    await figure('keys parked').getByRole('link').click();
    await page.waitForURL('**/events/subscriptions');
    await page.goBack();
    await figure('checks fail').getByRole('link').click();
    await page.waitForURL('**/events/checks');
  });

  it('shows what a check found, who mends it, and runs it', async () => {
    await page.goto('/events/checks');
    await page.getByText('inventory did not answer').waitFor();
    await page.getByRole('link', { name: 'charged-is-shipped' }).click();
    const row = page.getByRole('row').filter({ hasText: 'order-812' });
    await row.getByText('shipments: absent, expected present').waitFor();
    await row.getByText('amount: 5400').waitFor();
    assert.match(
      String(await row.getByRole('link', { name: 'ship-again' }).getAttribute('href')),
      /^\/sagas\//,
    );
    await page.getByRole('row').filter({ hasText: 'order-813' }).getByText('by a person').waitFor();
    await page.getByRole('button', { name: 'Run now' }).click();
    await page.getByRole('button', { name: 'Run now' }).and(page.locator(':enabled')).waitFor();
    assert.deepEqual((await configure({})).written, [
      { method: 'POST', path: '/v1/reconciliations/charged-is-shipped/run', body: null },
    ]);
    await page.goto('/events/checks/no-such');
    await page.getByText('There is no check of this name.').waitFor();
  });

  it('copies data whole, also where the browser has no clipboard for the page', async () => {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.goto('/events/by-id/0abc');
    const button = page.getByRole('button', { name: 'Copy Value' });
    await button.click();
    const pasted = () => page.evaluate(() => navigator.clipboard.readText());
    const data = await page.locator('main pre').innerText();
    assert.deepEqual(JSON.parse(await pasted()), JSON.parse(data));
    await page.evaluate(async () => {
      await navigator.clipboard.writeText('');
      navigator.clipboard.writeText = () => Promise.reject(new Error('not for this page'));
    });
    await button.click();
    await page.getByText('Copied').waitFor();
    assert.deepEqual(JSON.parse(await pasted()), JSON.parse(data));
  });

  it('filters the log of events by the address', async () => {
    await page.goto('/events/log');
    await page.locator('[data-key="5000"]').waitFor();
    const type = await page.locator('[data-key="5000"] strong').innerText();
    const all = await page.getByRole('grid').getAttribute('aria-rowcount');
    await page.keyboard.press('/');
    await page.keyboard.type(type.toUpperCase());
    await page.waitForURL(/q=/);
    await page.waitForFunction(
      (before) => document.querySelector('[role=grid]')?.getAttribute('aria-rowcount') !== before,
      all,
    );
    const types = await page.locator('[data-key] strong').allInnerTexts();
    assert.deepEqual([...new Set(types)], [type]);
    await page.getByLabel('Filter by type').fill('no such event');
    await page.getByText('passes the filter').waitFor();
  });

  it('redrives only after a look, and edits with a reason', async () => {
    await page.goto('/events/subscriptions/notifications.orders');
    await page.getByRole('checkbox').first().check();
    await page.getByRole('button', { name: 'Redrive (1)' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Look first' }).click();
    await dialog.getByText('Would deliver 11 events of 1 keys.').waitFor();
    await dialog.getByLabel('Reason').fill('mailbox is there now');
    await dialog.getByRole('button', { name: 'Redrive' }).click();
    await dialog.getByText('are on their way').waitFor();
    const { written } = await configure({});
    assert.deepEqual(
      written.map((/** @type {any} */ { body }) => [body.dry_run, body.keys, body.rate]),
      [
        [true, ['order-810'], 50],
        [false, ['order-810'], 50],
      ],
    );
    await dialog.getByRole('button', { name: 'Close' }).last().click();

    await page.getByRole('link', { name: 'order-810' }).click();
    await page.getByRole('button', { name: 'Edit' }).first().click();
    await dialog.getByLabel('Data, as JSON').fill('{"order": ');
    await dialog.getByText('This is no JSON').waitFor();
    await dialog.getByLabel('Data, as JSON').fill('{"order": "810"}');
    await dialog.getByLabel('Reason').fill('wrong address');
    await dialog.getByRole('button', { name: 'Edit' }).click();
    await dialog.waitFor({ state: 'hidden' });
    const edit = (await configure({})).written.at(-1);
    assert.deepEqual(edit.body, {
      action: 'edit',
      position: 4051,
      data: { order: '810' },
      reason: 'wrong address',
    });
  });

  it('restarts and scales a service', async () => {
    await page.goto('/services/orders');
    await page.getByRole('button', { name: 'Scale' }).click();
    await page.getByRole('dialog').getByLabel('Instances').fill('3');
    await page.getByRole('dialog').getByRole('button', { name: 'Scale' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Restart' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    const { written } = await configure({});
    assert.deepEqual(written, [
      { method: 'PUT', path: '/v1/services/orders/scale', body: { count: 3 } },
      { method: 'POST', path: '/v1/services/orders/restart', body: null },
    ]);
  });

  it('says states and acts in the reader’s language', async () => {
    await page.addInitScript(() => localStorage.setItem('ondol-language', 'ko'));
    for (const [path, text] of /** @type {const} */ ([
      ['/events/outboxes', '중계 중'],
      ['/events/flows/order-810', '보류'],
      ['/', '결과 지정 charge'],
    ])) {
      await page.goto(path);
      await page.locator('main').getByText(text).first().waitFor();
    }
  });

  it('remembers theme and language', async () => {
    await page.goto('/');
    await page.getByRole('button', { name: '한국어로' }).click();
    await page.getByRole('heading', { name: '개요' }).waitFor();
    await page.keyboard.press('t');
    await page.reload();
    await page.getByRole('heading', { name: '개요' }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'ko');
  });
});
