// A browser for a test, and a close look at a page: what it says to its console, whom it shuts out, whether it fits.
//
// CHROMIUM names the browser (= /usr/bin/chromium).

import { mkdir } from 'node:fs/promises';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

/** @import { Browser, BrowserContextOptions, Page } from 'playwright-core' */

/** For one state to come about. Far above what any takes, since nothing here measures speed. */
export const PATIENCE = 30_000;
export const PICTURES = new URL('../../test-results/', import.meta.url).pathname;
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

/** @returns {Promise<Browser>} */
export async function launch() {
  await mkdir(PICTURES, { recursive: true });
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Chromium's sandbox refuses to run for root.
    args: [...FLAGS, '--disable-sync', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])],
  });
}

/**
 * A reader with a page of their own.
 *
 * @param {Browser} browser
 * @param {string} url of the console
 * @param {BrowserContextOptions} [options]
 * @returns {Promise<{ page: Page, complaints: string[] }>} `complaints`: what the browser objected to, such as a script
 *   that failed or a resource that the policy forbade.
 */
export async function reader(browser, url, options = {}) {
  const context = await browser.newContext({
    baseURL: url,
    viewport: { width: 1440, height: 900 },
    locale: 'en-US',
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${String(error)}`));
  page.on('console', (message) => {
    // That the controller is away is said so by the browser too.
    const text = message.text();
    if (message.type() === 'error' && !text.includes('Failed to load resource'))
      complaints.push(`${page.url()}: ${text}`);
  });
  return { page, complaints };
}

/**
 * What shuts people out by axe-core's rules, serious and critical: rule and element.
 *
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
export async function barriers(page) {
  // The policy forbids scripts from a text; a debugger's world of its own is not the page's.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId: contextId } = await session.send('Page.createIsolatedWorld', {
    frameId: frameTree.frame.id,
  });
  await session.send('Runtime.evaluate', { expression: axe.source, contextId });
  const { result } = await session.send('Runtime.evaluate', {
    expression: `axe.run().then(({ violations }) => JSON.stringify(violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.slice(0, 3).map(({ html, failureSummary }) => id + ': ' + html.slice(0, 200) + ' ' + failureSummary.slice(0, 200)))))`,
    contextId,
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  return JSON.parse(result.value);
}

/**
 * Whether the page is as narrow as a screen of 320 pixels, which is 1280 at 400 %; else how wide it is.
 *
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
export async function excess(page) {
  const wide = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide) await page.setViewportSize(wide);
  return width <= 320 ? [] : [`${width} pixels wide on a screen of 320`];
}
