// With 10,000 sagas of which hundreds change each second, and with 1,000 log lines a second, the pages draw no more rows than
// are seen. As a bench (`cargo xtask bench console`) it judges time too: no frame takes 100 ms once the page is open (its script
// runs for the first time in one task, before there is a frame); and a page that this browser has never opened is there within
// a second. Measured in processor time, see trace.js.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { start } from '../fixture/server.js';
import { launch, reader } from './browser.js';
import { traced } from './trace.js';

/** @import { TestContext } from 'node:test' */
/** @import { Browser } from 'playwright-core' */

/** Milliseconds of processor time, of a task and of opening a page. */
const LONGEST = 100;
const OPEN = 1000;
/** Rows in the page, of however many there are: what fits a window of 900 pixels and some beyond both edges. */
const DRAWN = 80;

/** Tells a time, and judges it where this is a bench: a test is no place for that, since machines differ.
 * @param {TestContext} test @param {string} what @param {number} took milliseconds @param {number} limit */
function judge(test, what, took, limit) {
  const words = `${what}: ${took.toFixed(1)} ms of the processor`;
  test.diagnostic(words);
  if (process.env.ONDOL_JUDGE_TIME) assert.ok(took < limit, `${words}, at most ${limit}`);
}

describe('under load', () => {
  /** @type {Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof start>>} */ let fixture;

  before(async () => {
    [browser, fixture] = await Promise.all([launch(), start()]);
    const wanted = { sagas: 10_000, sagaRate: 100, logRate: 1000 };
    await fetch(`${fixture.url}/fixture`, { method: 'POST', body: JSON.stringify(wanted) });
  });
  after(async () => {
    await browser.close();
    fixture.close();
  });

  it('the list of 10,000 sagas stays smooth while it changes and is scrolled', async (test) => {
    const { page } = await reader(browser, fixture.url);
    await page.goto('/sagas');
    await page.locator('[data-key]').first().waitFor();
    const { longest } = await traced(page, async () => {
      const grid = page.getByRole('grid');
      // Down to the end, which is loaded as one comes near, a page of the window at a time.
      const down = () =>
        grid.evaluate(
          (box) =>
            new Promise((/** @type {(rows: number) => void} */ done) => {
              box.scrollBy(0, box.clientHeight * 8);
              requestAnimationFrame(() => done(Number(box.getAttribute('aria-rowcount'))));
            }),
        );
      while ((await down()) <= 10_000);
      const drawn = await page.locator('[data-key]').count();
      assert.ok(drawn <= DRAWN, `${drawn} rows are in the page`);
      await grid.evaluate((box) => box.scrollTo(0, 0));
      const first = await page.locator('[data-key]').first().getAttribute('data-key');
      await page.waitForFunction(
        (before) => document.querySelector('[data-key]')?.getAttribute('data-key') !== before,
        first,
      );
    });
    judge(test, 'longest task', longest, LONGEST);
  });

  it('1,000 lines a second are followed, filtered and paused smoothly', async (test) => {
    const { page } = await reader(browser, fixture.url);
    await page.goto('/services/orders/logs');
    await page.locator('.line').first().waitFor();
    const { longest } = await traced(page, async () => {
      const kept = (/** @type {number} */ wanted) =>
        page.waitForFunction(
          (least) => Number(/of ([\d,]+) lines/.exec(document.body.innerText)?.[1]?.replace(',', '')) > least,
          wanted,
        );
      await kept(3000);
      await page.getByRole('searchbox').fill('bank');
      await kept(5000);
      await page.getByRole('searchbox').fill('');
      await page.locator('main h1').click();
      await page.keyboard.press('p');
      await page.waitForFunction(() => /\d,\d{3} new while paused/.test(document.body.innerText));
      await page.keyboard.press('p');
      await kept(9000);
      const drawn = await page.locator('.line').count();
      assert.ok(drawn <= DRAWN, `${drawn} lines are in the page`);
    });
    judge(test, 'longest task', longest, LONGEST);
  });

  for (const [path, there] of /** @type {const} */ ([
    ['/', 'main table'],
    ['/sagas', '[data-key]'],
    ['/services/orders/logs', '.line'],
    ['/events/subscriptions', 'main table'],
    ['/events/flows/order-810', '.node'],
  ])) {
    it(`${path} is there for a browser that never saw it`, async (test) => {
      // A browser of its own, so that nothing is cached.
      const { page } = await reader(browser, fixture.url);
      const { sum } = await traced(page, async () => {
        await page.goto(path);
        await page.locator(there).first().waitFor();
      });
      judge(test, 'opened', sum, OPEN);
      await page.context().close();
    });
  }
});
