// What a customer is written when something has happened. Pure: an event in, a mail or a refusal out.
//
// A mail is made from its event alone: no other service is asked, so a mail is written while all others are down. Events
// name customers by their id, since the log keeps them for ever; a mailbox needs no more.
//
// Tests: test/mail.test.ts.

import type { CloudEvent } from '@ondol/sdk';

export interface Mail {
  customer: string;
  /** What it is about: an order's id, or the customer's own. */
  about: string;
  subject: string;
  body: string;
}

/** No mail can ever be made of this event: it must be looked at by a person. */
export class Unwritable extends Error {
  override name = 'Unwritable';
}

const WRITERS: Record<string, (event: CloudEvent) => Mail> = {
  'order.confirmed.v1': confirmed,
  'order.cancelled.v1': cancelled,
  'user.registered.v1': registered,
};

/** The types of events that mails are made of. */
export const TYPES = Object.keys(WRITERS);

/** Writes the mail for an event. Throws `Unwritable`. */
export function write(event: CloudEvent): Mail {
  const writer = WRITERS[event.type];
  if (!writer) throw new Unwritable(`no mail is written for ${event.type}`);
  return writer(event);
}

function confirmed(event: CloudEvent): Mail {
  const data = dataOf(event);
  const [customer, order, total] = [textOf(data, 'customer'), orderOf(event), totalOf(data)];
  const body = [
    `your order ${order}${total && ` over ${total}`} is paid and handed to the carrier.`,
    'The page of your order tells when it arrives.',
  ];
  return mail({ customer, about: order, subject: 'Your order is on its way', body });
}

function cancelled(event: CloudEvent): Mail {
  const data = dataOf(event);
  const [customer, order, reason] = [textOf(data, 'customer'), orderOf(event), textOf(data, 'reason')];
  const body = [
    `your order ${order} was cancelled: ${REASONS[reason] ?? 'it could not be carried out'}.`,
    'Nothing was charged, or it was given back. Nothing will be sent.',
  ];
  return mail({ customer, about: order, subject: 'Your order was cancelled', body });
}

const REASONS: Record<string, string> = {
  insufficient_funds: 'there was not enough money in your wallet',
  out_of_stock: 'there were not so many left in stock',
  unknown_product: 'one of the products is no longer sold',
};

function registered(event: CloudEvent): Mail {
  const customer = textOf(dataOf(event), 'id');
  const body = ['welcome. From now on your orders, and what becomes of them, are told to you here.'];
  return mail({ customer, about: customer, subject: 'Welcome to the Ondol shop', body });
}

function mail({ body, ...rest }: Omit<Mail, 'body'> & { body: string[] }): Mail {
  return { ...rest, body: ['Dear customer,', body.join('\n'), 'The Ondol shop'].join('\n\n') };
}

/** The order's id: its stream is `order-ID`, and the stream of a published event its subject. */
function orderOf({ stream, subject }: CloudEvent): string {
  const id =
    typeof stream === 'string' && stream.startsWith('order-') ? stream.slice('order-'.length) : subject;
  if (!id) throw new Unwritable('the event names no order: neither a stream order-ID nor a subject');
  return shortEnough('the order', id);
}

/** `€66.50`; empty where the event says no total. */
function totalOf({ total, currency }: Record<string, unknown>): string {
  if (total === undefined || currency === undefined) return '';
  if (!Number.isSafeInteger(total) || typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency)) {
    throw new Unwritable('data.total and data.currency are no amount of money');
  }
  const format = new Intl.NumberFormat('en-IE', { style: 'currency', currency });
  return format.format(Number(total) / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

function dataOf({ data }: CloudEvent): Record<string, unknown> {
  if (typeof data !== 'object' || data === null) throw new Unwritable('the event has no data');
  return data as Record<string, unknown>;
}

function textOf(data: Record<string, unknown>, name: string): string {
  const value = data[name];
  if (typeof value !== 'string' || !value.trim()) throw new Unwritable(`data.${name} is missing or empty`);
  return shortEnough(`data.${name}`, value.trim());
}

/** What goes into a mail is a line or less, whatever the event says. */
function shortEnough(what: string, value: string): string {
  if (value.length > 320 || /\p{Cc}/u.test(value))
    throw new Unwritable(`${what} is too long or has control characters`);
  return value;
}
