// Every word that a page says, apart from what the catalogue says. One language: English.

import type { Refusal } from './answer';

export const words = {
  shop: {
    name: 'The Ondol shop',
    footer:
      'Warm things for the house. A reference shop that stands on Ondol: no real money, no real parcels.',
    skip: 'Skip to the content',
    nav: 'Shop',
    basket: 'Basket',
    orders: 'Orders',
    wallet: 'Wallet',
    messages: 'Messages',
    signIn: 'Sign in',
    signOut: 'Sign out',
    register: 'Register',
    lookAround: 'Look around',
    tryAgain: 'Try again',
    toFront: 'To the front page',
  },
  home: {
    title: 'Everything',
    heading: 'Warm things for the house',
    description: 'Things for the table, the room, the desk, the bath and the garden.',
    found: (q: string) => `Found for “${q}”`,
    search: 'Search',
    searchLabel: 'Search the shop',
    searchHint: 'Teapot, lamp, soap …',
    nothing: 'Nothing of that kind. Fewer or shorter words find more.',
    first: 'From the beginning',
    more: 'More of them',
  },
  product: {
    quantity: 'How many',
    add: 'Put into the basket',
    added: (n: number) => `${count(n, 'piece')} put into your basket.`,
    toBasket: 'Go to the basket',
    noPicture: 'No picture right now',
  },
  basket: {
    empty: 'Nothing in it yet.',
    unknown: (id: string) => `Product ${id}`,
    each: (price: string) => `${price} each`,
    quantityOf: (name: string) => `How many of ${name}`,
    change: 'Change',
    changeOf: (name: string) => `Change how many of ${name}`,
    remove: 'Remove',
    removeOf: (name: string) => `Remove ${name}`,
    section: 'Order',
    total: 'Total',
    wallet: 'In your wallet',
    short: (amount: string) => `${amount} are missing.`,
    addMoney: 'Add money',
    order: 'Order and pay',
    ordering: 'Ordering …',
    blind: 'Ordering waits until every price can be shown.',
    signIn: 'Sign in to order',
    cancelled: 'See the cancelled order',
  },
  orders: {
    none: 'None yet.',
    older: 'Older orders',
    pieces: (n: number) => count(n, 'piece'),
  },
  order: {
    title: 'Order',
    heading: 'Your order',
    things: 'What you ordered',
    product: 'Product',
    pieces: 'Pieces',
    each: 'Each',
    total: 'Total',
    history: 'What happened',
    number: 'Order number',
    delivery: 'Delivery',
    tracking: 'Parcel number',
    asOf: 'Heard from the carrier on',
    noDelivery: 'When it arrives cannot be said right now. It is on its way all the same.',
    again: 'Put the same into the basket',
  },
  wallet: {
    balance: (amount: string) => `Balance ${amount}.`,
    added: (amount: string) => `${amount} added.`,
    amount: 'Add, in euros',
    add: 'Add money',
    play: 'It is play money: add as much as you like.',
    points: 'Points',
    noPoints: 'Your points cannot be shown right now. None are lost.',
  },
  messages: {
    none: 'None yet. What becomes of your orders is written here.',
    unread: (n: number) => `${n.toLocaleString('en-IE')} unread`,
    isNew: 'New',
    read: 'Mark as read',
    readOf: (subject: string) => `Mark as read: ${subject}`,
    older: 'Older messages',
    away: 'Your messages cannot be shown right now. None are lost.',
    notMarked: 'That could not be written down right now. Try again in a moment.',
  },
  account: {
    name: 'Name',
    email: 'Email',
    password: 'Password',
    passwordHint: 'At least 8 characters.',
    isNew: 'New here?',
    isOld: 'Been here before?',
  },
  error: { missing: 'Not here', later: 'Not right now', other: 'That did not work' },
};

/** `Basket – The Ondol shop` */
export const title = (page: string): string => `${page} – ${words.shop.name}`;

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en-IE')} ${n === 1 ? one : many}`;

const day = new Intl.DateTimeFormat('en-IE', {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  timeZone: 'UTC',
});

/** `Expected Tuesday, 24 November, with North Post.`, or between two days; for what are no days, only with whom. */
export function deliveryWords({ status, carrier, ...days }: Delivered & { carrier: string }): string {
  if (status === 'delivered') return `Delivered by ${carrier}.`;
  const [from, to] = [new Date(days.earliest), new Date(days.latest)];
  if (Number.isNaN(from.valueOf()) || Number.isNaN(to.valueOf())) return `On its way with ${carrier}.`;
  const [first, last] = [day.format(from), day.format(to)];
  const when = first === last ? `Expected ${first}` : `Expected between ${first} and ${last}`;
  return `${when}, with ${carrier}.`;
}

interface Delivered {
  status: string;
  earliest: string;
  latest: string;
}

const parcelStates: Record<string, string> = {
  booked: 'The carrier expects the parcel',
  picked_up: 'The carrier has the parcel',
  in_transit: 'The parcel is under way',
  out_for_delivery: 'The parcel is in the last van',
  delivered: 'The parcel has arrived',
};

/** `The parcel is under way, last seen in Incheon.` */
export function parcelWords({ status, place }: { status: string; place: string | null }): string {
  const where = place ? `, last seen in ${place}` : '';
  return `${parcelStates[status] ?? 'The parcel is under way'}${where}.`;
}

export const statusWords: Record<string, string> = {
  pending: 'In progress',
  confirmed: 'Confirmed',
  cancelled: 'Cancelled',
};

export const statusExplained: Record<string, string> = {
  pending: 'We are taking the payment and packing the parcel. This page follows along.',
  confirmed: 'Paid, packed and handed to the carrier.',
  cancelled: 'Nothing was charged, or it was given back; nothing will be sent.',
};

const eventWords: Record<string, string> = {
  'order.placed.v1': 'Order placed',
  'order.confirmed.v1': 'Payment taken, parcel handed over',
  'order.cancelled.v1': 'Order cancelled',
};

export const historyWords = (type: string): string => eventWords[type] ?? type;

const reasons: Record<string, string> = {
  insufficient_funds: 'There is not enough money in your wallet for this order.',
  out_of_stock: 'There are not so many left in stock. Take fewer, or come back later.',
  unknown_product: 'One of these products is no longer sold.',
  wrong_credentials: 'Email and password do not belong together.',
  email_taken: 'There is an account with this email already. Sign in instead?',
  too_many_attempts: 'Too many wrong passwords.',
  key_reused: 'This form was sent before with other content. Look at it again, then send it once more.',
  in_progress: 'This is being done already. Send it again in a moment to see what came of it.',
};

const statuses: Record<number, string> = {
  400: 'Something in it does not fit. Look at it again, please.',
  401: 'You were signed out. Sign in again, please.',
  403: 'That is not for your account.',
  404: 'There is no such thing here.',
  413: 'That is too large.',
  422: 'Something in it does not fit. Look at it again, please.',
  429: 'That was too often.',
};

/** Why an order was cancelled. */
export const reasonWords = (reason: string): string =>
  reasons[reason] ?? 'The order could not be carried out.';

/** A refusal, for the person who caused or met it. */
export function refusalWords(refusal: Refusal): string {
  const why =
    reasons[refusal.reason] ??
    statuses[refusal.status] ??
    'A part of the shop does not answer at the moment. Nothing is lost.';
  return refusal.status === 429 || refusal.status >= 500 || refusal.status === 0
    ? `${why} ${againWords(refusal.retryAfter)}`
    : why;
}

function againWords(seconds: number | null): string {
  if (seconds === null) return 'Try again in a moment.';
  if (seconds <= 90) return `Try again in ${count(Math.max(1, seconds), 'second')}.`;
  return `Try again in ${count(Math.ceil(seconds / 60), 'minute')}.`;
}

/** Of an order whose answer was lost: the form below carries the same key. */
export const orderInDoubt = (refusal: Refusal): string =>
  `${refusalWords(refusal)} If the order went through after all, sending it again brings you to it; it is not ordered twice.`;

export const depositInDoubt = (refusal: Refusal): string =>
  `${refusalWords(refusal)} If the money arrived after all, sending it again adds nothing.`;

export const invalid = {
  form: 'This form is not complete. Load the page again, please.',
  name: 'Your name, please: up to 100 characters.',
  email: 'An email address, please, such as me@shop.example.',
  password: 'A password of 8 to 256 characters, please.',
  quantity: 'A whole number from 1 to 1,000, please.',
  amount: 'An amount such as 50 or 12.50, please.',
  basketFull: 'The basket holds 20 different products; it is full.',
};

export const notFound = 'There is no such page, or it is somebody else’s.';
export const broken = 'Something went wrong on our side. It has been written down.';
export const unavailable = 'not available right now';
