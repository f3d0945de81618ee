// A browser for a test, and a close look at a page: what it says to its console, whom it shuts out, whether it fits.
//
// CHROMIUM names the browser (= /usr/bin/chromium), GATEWAY the shop (= http://127.0.0.1:8080).

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

/** @import { Browser, BrowserContext, Page } from 'playwright-core' */

export const GATEWAY = process.env.GATEWAY ?? 'http://127.0.0.1:8080';
/** For one state to come about. Far above what any takes, since nothing here measures speed. */
const PATIENCE = 30_000;
const PICTURES = new URL('../test-results/', import.meta.url);
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

/** @returns {Promise<Browser>} */
export async function launch() {
  await mkdir(PICTURES, { recursive: true });
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Chromium's sandbox refuses to run for root.
    args: [
      ...FLAGS,
      '--disable-component-update',
      '--disable-sync',
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  });
}

/**
 * A visitor who has never been here.
 *
 * @param {Browser} browser
 * @param {{ javaScriptEnabled?: boolean }} [options]
 * @returns {Promise<{ context: BrowserContext, page: Page, complaints: string[] }>} `complaints`: what the browser
 *   objected to on any page: scripts that failed, resources that a policy forbade.
 */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({
    baseURL: GATEWAY,
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${page.url()}: ${message.text()}`);
  });
  return { context, page, complaints };
}

/**
 * Looks at the page as it stands, in both colour schemes and on a narrow screen, keeps a picture of each, and fails on
 * what axe-core calls serious or critical and on a page wider than its screen.
 *
 * @param {Page} page
 * @param {string} name of the pictures in test-results/
 */
export async function inspect(page, name) {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await picture(page, `${name}-${colorScheme}`);
    assert.deepEqual(await barriers(page), [], `${name}, ${colorScheme}`);
  }
  const wide = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  await picture(page, `${name}-narrow`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 320, `${name} is ${width} pixels wide on a screen of 320`);
  if (wide) await page.setViewportSize(wide);
}

/**
 * @param {Page} page
 * @param {string} name
 */
async function picture(page, name) {
  await page.screenshot({ path: new URL(`${name}.png`, PICTURES).pathname, fullPage: true });
}

/**
 * What shuts people out: rule and element.
 *
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
async function barriers(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => /** @type {any} */ (window).axe.run());
  return violations
    .filter((/** @type {any} */ { impact }) => impact === 'serious' || impact === 'critical')
    .flatMap((/** @type {any} */ { id, nodes }) =>
      nodes.map((/** @type {any} */ { html }) => `${id}: ${html}`),
    );
}
