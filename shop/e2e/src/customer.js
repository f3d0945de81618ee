// What a customer does, by what is written on the page: labels, buttons, headings. None of it needs JavaScript.

import { randomUUID } from 'node:crypto';

/** @import { Page } from 'playwright-core' */

export const PASSWORD = 'correct horse battery';

/** An account that nobody has. */
export const newAccount = () => ({ name: 'Test Customer', email: `e2e-${randomUUID()}@shop.example` });

/**
 * Finds a product by search and puts so many of it into the basket.
 *
 * @param {Page} page
 * @param {string} words
 * @param {string} product its whole name
 * @param {number} quantity
 */
export async function putIntoBasket(page, words, product, quantity) {
  await page.goto('/');
  await page.getByRole('searchbox').fill(words);
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByRole('heading', { name: `Found for “${words}”` }).waitFor();
  await page.getByRole('link', { name: product }).click();
  await page.getByRole('heading', { level: 1, name: product }).waitFor();
  await page.getByLabel('How many').fill(String(quantity));
  await page.getByRole('button', { name: 'Put into the basket' }).click();
  await page.getByRole('status').getByText('put into your basket').waitFor();
}

/**
 * From the basket of a visitor to the basket of a customer.
 *
 * @param {Page} page
 * @param {{ name: string, email: string }} account
 */
export async function registerToOrder(page, account) {
  await page.goto('/basket');
  await page.getByRole('main').getByRole('link', { name: 'Register' }).click();
  await page.getByLabel('Name').fill(account.name);
  await page.getByLabel('Email').fill(account.email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Register' }).click();
  await page.getByRole('button', { name: 'Order and pay' }).waitFor();
}

/**
 * @param {Page} page
 * @param {{ email: string }} account
 * @param {string} [password]
 */
export async function signIn(page, account, password = PASSWORD) {
  await page.goto('/sign-in');
  await page.getByLabel('Email').fill(account.email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
}

/**
 * @param {Page} page
 * @param {string} euros
 */
export async function deposit(page, euros) {
  await page.goto('/wallet');
  await page.getByLabel('Add, in euros').fill(euros);
  await page.getByRole('button', { name: 'Add money' }).click();
  await page.getByRole('status').getByText('added').waitFor();
}

/**
 * What the wallet page says, in cents.
 *
 * @param {Page} page
 */
export async function balance(page) {
  await page.goto('/wallet');
  return cents(await page.getByTestId('balance').innerText());
}

/**
 * `€1,234.50` is 123450.
 *
 * @param {string} text
 */
export function cents(text) {
  const digits = /^\s*€([\d,]+)\.(\d\d)\s*$/.exec(text);
  if (!digits) throw new Error(`no amount: ${text}`);
  return Number(digits[1]?.replaceAll(',', '')) * 100 + Number(digits[2]);
}

/**
 * Orders what is in the basket, waits until its page says how it ended, and gives its total in cents.
 *
 * @param {Page} page
 */
export async function orderAndAwait(page) {
  await page.goto('/basket');
  const total = cents(await page.getByTestId('total').innerText());
  await page.getByRole('button', { name: 'Order and pay' }).dblclick();
  await page.getByRole('heading', { name: 'Your order' }).waitFor();
  await page.getByTestId('status').getByText('Confirmed', { exact: true }).waitFor();
  return total;
}

/**
 * Orders what is in the basket although it cannot be had, reads why, and ends on the page of the cancelled order.
 *
 * The basket's page says so when the answer came within the time that the gateway waits, else the order's page does.
 *
 * @param {Page} page
 * @param {string} why part of what must be said
 */
export async function orderInVain(page, why) {
  await page.goto('/basket');
  await page.getByRole('button', { name: 'Order and pay' }).click();
  await page.getByText(why).waitFor();
  const link = page.getByRole('link', { name: 'See the cancelled order' });
  if (await link.isVisible()) await link.click();
  await page.getByTestId('status').getByText('Cancelled', { exact: true }).waitFor();
  await page.getByTestId('status').getByText(why).waitFor();
}
