import { describe, expect, it } from 'vitest';
import { GAP, LogStore, MAX_LINES, NO_FILTER, matcher, pieces, read } from './logs';
import type { LogLine } from './types';

const line = (seq: number, text = `line ${seq}`, more: Partial<LogLine> = {}): LogLine => {
  return { seq, at: seq, source: 'orders.1', stream: 'out', text, ...more };
};

describe('a filter', () => {
  it.each([
    ['text', { ...NO_FILTER, text: 'TEAPOT' }, [1]],
    ['regular expression', { ...NO_FILTER, text: '/tea(pot|cup)$/' }, [1]],
    ['half a regular expression', { ...NO_FILTER, text: '/tea(/' }, []],
    ['level', { ...NO_FILTER, level: 'warn' as const }, [2, 3]],
    ['source', { ...NO_FILTER, source: 'orders.2' }, [3]],
  ])('by %s', (_, filter, expected) => {
    const lines = [
      line(1, 'a teapot'),
      line(2, 'b', { level: 'warn' }),
      line(3, 'c', { level: 'error', source: 'orders.2' }),
    ];
    expect(lines.filter(matcher(filter)).map(({ seq }) => seq)).toEqual(expected);
  });
});

describe('the store', () => {
  it('keeps what passes up to date and is bounded', () => {
    const store = new LogStore();
    store.filter({ ...NO_FILTER, text: '7' });
    for (let n = 0; n < MAX_LINES * 2; n += 100)
      store.add(Array.from({ length: 100 }, (_, i) => line(n + i)));
    expect(store.size).toBeLessThanOrEqual(MAX_LINES * 1.25);
    expect(store.dropped + store.size).toBe(MAX_LINES * 2);
    expect(store.shown.every(({ text }) => text.includes('7'))).toBe(true);
    expect(store.shown[0]?.seq).toBeGreaterThanOrEqual(store.dropped);
    store.filter(NO_FILTER);
    expect(store.shown.length).toBe(store.size);
  });

  it('goes on after a break where the last line comes again, and marks a gap where it does not', () => {
    const store = new LogStore();
    const numbers = () => store.shown.map(({ seq, stream }) => (stream === GAP ? GAP : seq));
    expect(store.after).toBeNull();
    store.add([line(5), line(6)], true);
    expect(store.after).toBe(5);
    store.add([line(6), line(7)], true);
    expect(numbers()).toEqual([5, 6, 7]);
    store.add([line(90)], true);
    store.add([line(91)]);
    expect(numbers()).toEqual([5, 6, 7, GAP, 90, 91]);
    store.filter({ ...NO_FILTER, text: '91' });
    expect(numbers()).toEqual([GAP, 91]);
  });

  it('begins anew with other numbers, and with the same of another system', () => {
    const store = new LogStore();
    store.add([line(5), line(6)]);
    store.add([line(1), line(2)], true);
    expect(store.shown.map(({ seq }) => seq)).toEqual([1, 2]);
    store.add([line(2, 'another', { at: 77 })], true);
    expect(store.shown.map(({ text }) => text)).toEqual(['another']);
  });
});

describe('a line', () => {
  it('of JSON gives its message and members', () => {
    const text =
      '{"timestamp":"t","level":"WARN","fields":{"message":"breaker open","cluster":"bank"},"target":"proxy"}';
    expect(read(line(1, text, { level: 'warn' }))).toEqual({
      message: 'breaker open',
      fields: [
        ['target', 'proxy'],
        ['cluster', 'bank'],
      ],
      level: 'warn',
    });
    expect(read(line(1, '{half')).message).toBe('{half');
  });

  it('of a request gives its status, time and path in columns, and what is out of the ordinary', () => {
    const said = {
      ...{ time: 't', level: 'error', message: 'request', trace_id: 'abc', span_id: 'd', caller: 'cart' },
      ...{ target: 'orders', instance: 'orders.1', method: 'GET', path: '/orders/1', status: 504 },
      ...{ duration_us: 12_300, attempts: 3, client: '127.0.0.1', protocol: 'HTTP/1.1', host: 'orders' },
      ...{ bytes: 12, parent_span_id: 'e' },
    };
    const of = (more: object) =>
      read(line(1, JSON.stringify({ ...said, ...more }), { stream: 'access', level: 'error' }));
    expect(of({})).toEqual({
      message: '504  12.3 ms GET    /orders/1',
      fields: [
        ['caller', 'cart'],
        ['attempts', '3'],
        ['trace_id', 'abc'],
      ],
      level: 'error',
    });
    expect(of({ attempts: 0 }).fields.map(([name]) => name)).toEqual(['caller', 'trace_id']);
  });

  it('with terminal colours is parted, and other sequences are left out', () => {
    expect(pieces('a\u001b[1;31mb\u001b[22mc\u001b[0md\u001b[2Ke')).toEqual([
      { text: 'a', style: '' },
      { text: 'b', style: 'bold red' },
      { text: 'c', style: 'red' },
      { text: 'd', style: '' },
      { text: 'e', style: '' },
    ]);
  });
});
