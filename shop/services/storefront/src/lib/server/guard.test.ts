import { expect, it } from 'vitest';
import { keyOf, safeNext } from './guard';

it.each([
  ['/orders', '/orders'],
  ['/?q=tea&after=p24', '/?q=tea&after=p24'],
  [null, '/'],
  ['', '/'],
  ['orders', '/'],
  ['//evil.example', '/'],
  ['/\\evil.example', '/'],
  ['https://evil.example', '/'],
  ['/a\nb', '/'],
])('safeNext(%j) is %j', (next, path) => {
  expect(safeNext(next)).toBe(path);
});

it('a form without a key of ours is refused', () => {
  const form = new FormData();
  expect(() => keyOf(form)).toThrow();
  form.set('key', 'x'.repeat(36));
  expect(() => keyOf(form)).toThrow();
  const key = crypto.randomUUID();
  form.set('key', key);
  expect(keyOf(form)).toBe(key);
});
