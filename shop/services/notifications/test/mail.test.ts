import type { CloudEvent } from '@ondol/sdk';
import { describe, expect, it } from 'vitest';
import { TYPES, Unwritable, write } from '../src/mail.ts';

const event = (type: string, data: unknown, more = {}): CloudEvent => ({
  specversion: '1.0',
  id: 'e1',
  source: '/services/orders',
  type,
  stream: 'order-o1',
  ...more,
  data,
});

const mail = (type: string, data: unknown) => write(event(type, data));

describe('a mail', () => {
  it('of a confirmed order says which and how much', () => {
    const data = { customer: 'u1', total: 123450, currency: 'EUR' };
    const { body, ...rest } = mail('order.confirmed.v1', data);
    expect(rest).toEqual({ customer: 'u1', about: 'o1', subject: 'Your order is on its way' });
    expect(body).toMatch(/^Dear customer,\n\nyour order o1 over €1,234\.50 is paid/);
  });

  it('knows currencies without cents, and events without a total', () => {
    expect(mail('order.confirmed.v1', { customer: 'u1', total: 5000, currency: 'KRW' }).body).toMatch(
      /₩5,000/,
    );
    expect(mail('order.confirmed.v1', { customer: 'u1' }).body).toMatch(/your order o1 is paid/);
  });

  it('of a cancelled order says why, in words', () => {
    expect(mail('order.cancelled.v1', { customer: 'u1', reason: 'out_of_stock' }).body).toMatch(
      /not so many left/,
    );
    expect(mail('order.cancelled.v1', { customer: 'u1', reason: 'deadline' }).body).toMatch(
      /could not be carried out/,
    );
  });

  it('welcomes a customer of whom it knows the id alone', () => {
    expect(mail('user.registered.v1', { id: 'u1' })).toMatchObject({
      customer: 'u1',
      about: 'u1',
      body: expect.stringContaining('welcome') as unknown,
    });
  });
});

const good = { customer: 'u1', total: 1, currency: 'EUR' };

describe('no mail is made of', () => {
  it.each([
    ['no data', event('order.confirmed.v1', undefined)],
    ['no customer', event('order.confirmed.v1', { ...good, customer: ' ' })],
    ['a customer that is no text', event('order.confirmed.v1', { ...good, customer: { id: 1 } })],
    ['no order', event('order.confirmed.v1', good, { stream: 'topic-order.confirmed.v1' })],
    ['a total that is none', event('order.confirmed.v1', { ...good, total: '1' })],
    ['a currency that is none', event('order.confirmed.v1', { ...good, currency: 'euro' })],
    ['no reason', event('order.cancelled.v1', { customer: 'u1' })],
    ['nobody', event('user.registered.v1', { name: 'Kim' })],
    ['a customer with a line break', event('user.registered.v1', { id: 'u1\nBcc: x' })],
    ['a customer without end', event('user.registered.v1', { id: 'x'.repeat(1000) })],
    ['another type', event('order.placed.v1', good)],
  ])('%s', (_, given) => {
    expect(() => write(given)).toThrow(Unwritable);
  });
});

it('every type that is written for is one that the manifest subscribes to', async () => {
  const { readFile } = await import('node:fs/promises');
  const { parse } = await import('yaml');
  const manifest = parse(await readFile(new URL('../service.yaml', import.meta.url), 'utf8')) as {
    events: { subscribes: { types: string[] }[] };
  };
  expect(manifest.events.subscribes.flatMap(({ types }) => types).sort()).toEqual([...TYPES].sort());
});
