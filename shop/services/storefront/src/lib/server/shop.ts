// The public API by name: what the pages may ask, and the shape of the answers (the services' openapi.yaml say the rest).

import type { Answer } from '$lib/answer';
import type { Basket } from '$lib/basket';
import type { Gateway } from './gateway';

export interface Product {
  id: string;
  name: string;
  description: string;
  price: number;
  currency: string;
  image_url: string;
}

export interface Order {
  id: string;
  status: 'pending' | 'confirmed' | 'cancelled';
  items: { product_id: string; quantity: number; name: string | null; price: number | null }[];
  total: number;
  currency: string;
  reason: string | null;
  history: { type: string; at: string }[];
}

/** The parcel of an order. */
export interface Parcel {
  tracking: string;
  /** Null while no carrier has promised anything. */
  delivery: Delivery | null;
}

export interface Delivery {
  carrier: string;
  /** Days, such as 2026-11-24; the same one where the day is certain. */
  earliest: string;
  latest: string;
  /** `booked`, `picked_up`, `in_transit`, `out_for_delivery`, `delivered`. */
  status: string;
  /** Where the parcel was last. */
  place: string | null;
  /** When the carrier last said something of it. */
  as_of: string;
}

export interface Mail {
  id: string;
  subject: string;
  body: string;
  at: string;
  read: boolean;
}

export interface Mailbox extends Page<Mail> {
  unread: number;
}

export interface Page<T> {
  items: T[];
  /** Give it as `after`; null on the last page. */
  next: string | null;
}

export interface User {
  id: string;
  email: string;
  name: string;
}

export interface Wallet {
  balance: number;
  currency: string;
}

/** What a page can do without, it does not wait for. */
const OPTIONAL = 2000;
/** Passwords are hashed slowly on purpose. */
const SLOW = 10_000;
/** Ondol waits 5 s for an order to end and up to 12 s more for it to be visible; then it has answered. */
const ORDER = 20_000;

export interface Shop {
  products(search: { q: string; limit: number; after: string }): Promise<Answer<Page<Product>>>;
  product(id: string): Promise<Answer<Product>>;
  register(user: { email: string; name: string; password: string }, key: string): Promise<Answer<User>>;
  signIn(email: string, password: string): Promise<Answer<{ token: string; expires_at: string }>>;
  me(): Promise<Answer<User>>;
  wallet(): Promise<Answer<Wallet>>;
  deposit(amount: number, key: string): Promise<Answer<Wallet>>;
  placeOrder(basket: Basket, key: string): Promise<Answer<{ id: string }>>;
  order(id: string): Promise<Answer<Order>>;
  orders(page: { limit: number; after: string }): Promise<Answer<Page<Order>>>;
  /** Where an order's parcel is; 404 while there is none. */
  parcel(order: string): Promise<Answer<Parcel>>;
  points(): Promise<Answer<{ balance: number }>>;
  /** How many messages wait to be read. */
  unread(): Promise<Answer<Mailbox>>;
  mailbox(page: { limit: number; after: string }): Promise<Answer<Mailbox>>;
  readMail(id: string): Promise<Answer<unknown>>;
}

export function createShop(call: Gateway): Shop {
  const post = (body: unknown, key?: string, timeout = SLOW) =>
    ({ method: 'POST', body, timeout, ...(key && { key }) }) as const;
  return {
    products: (search) => call(`/api/products?${query(search)}`),
    product: (id) => call(`/api/products/${encodeURIComponent(id)}`),
    register: (user, key) => call('/api/users', post(user, key)),
    signIn: (email, password) => call('/api/sessions', post({ email, password })),
    me: () => call('/api/users/me', { timeout: OPTIONAL }),
    wallet: () => call('/api/wallet', { timeout: OPTIONAL }),
    deposit: (amount, key) => call('/api/wallet/deposits', post({ amount }, key)),
    placeOrder: (basket, key) => call('/api/orders', post({ items: basket.map(item) }, key, ORDER)),
    order: (id) => call(`/api/orders/${encodeURIComponent(id)}`),
    orders: (page) => call(`/api/orders?${query(page)}`),
    parcel: (order) => call(`/api/shipments/${encodeURIComponent(order)}`, { timeout: OPTIONAL }),
    points: () => call('/api/points', { timeout: OPTIONAL }),
    unread: () => call('/api/mailbox?limit=1', { timeout: OPTIONAL }),
    mailbox: (page) => call(`/api/mailbox?${query(page)}`),
    readMail: (id) => call(`/api/mailbox/${encodeURIComponent(id)}/read`, { method: 'POST' }),
  };
}

const item = ({ id, quantity }: Basket[number]) => ({ product_id: id, quantity });

/** Without what is empty. */
function query(parameters: Record<string, string | number>): URLSearchParams {
  const filled = Object.entries(parameters).filter(([, value]) => value !== '');
  return new URLSearchParams(filled.map(([name, value]) => [name, String(value)]));
}
