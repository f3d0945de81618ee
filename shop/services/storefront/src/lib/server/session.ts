// Cookies: who is signed in, and what is in the basket. Nothing in them can be read by a script of the page.

import { parseBasket, writeBasket, type Basket } from '$lib/basket';
import type { Cookies } from '@sveltejs/kit';

export interface Session {
  /** The user's token; the gateway believes it, we only keep it. */
  token: string;
}

const SESSION = 'session';
const BASKET = 'basket';
const MONTH = 30 * 24 * 3600;

/** Without a domain a cookie is its host's alone; `Secure` wherever the page came by TLS. */
const options = (url: URL) =>
  ({ path: '/', httpOnly: true, sameSite: 'lax', secure: url.protocol === 'https:' }) as const;

export function readSession(cookies: Cookies): Session | null {
  const token = cookies.get(SESSION);
  return token ? { token } : null;
}

/** The cookie ends with the token. */
export function startSession(cookies: Cookies, url: URL, token: string, expiresAt: string): void {
  cookies.set(SESSION, token, { ...options(url), expires: new Date(expiresAt) });
}

export function endSession(cookies: Cookies, url: URL): void {
  cookies.delete(SESSION, options(url));
}

export function readBasket(cookies: Cookies): Basket {
  return parseBasket(cookies.get(BASKET) ?? '');
}

export function keepBasket(cookies: Cookies, url: URL, basket: Basket): void {
  if (basket.length === 0) cookies.delete(BASKET, options(url));
  else cookies.set(BASKET, writeBasket(basket), { ...options(url), maxAge: MONTH });
}
