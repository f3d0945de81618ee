import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { draw, PRODUCTS } from '../src/pictures/index.ts';
import { kindOf } from '../src/kind.ts';

it('every product of the catalogue has a picture of its own, the same each time', () => {
  const catalogue = new URL('../../products/seed/products.json', import.meta.url);
  const ids = (JSON.parse(readFileSync(catalogue, 'utf8')) as { id: string }[]).map(({ id }) => id);
  expect(PRODUCTS.map(({ id }) => id)).toEqual(ids);
  const drawn = PRODUCTS.map(draw);
  expect(new Set(drawn).size).toBe(ids.length);
  expect(PRODUCTS.map(draw)).toEqual(drawn);
});

it('a picture is small, known as one, and made of shapes only', () => {
  for (const picture of PRODUCTS.map(draw)) {
    expect(picture.length).toBeLessThan(8_000);
    expect(picture).not.toMatch(/NaN|undefined|script|href|url\(/);
    expect(kindOf('x.svg', Buffer.from(picture).subarray(0, 512))).toBe('image/svg+xml');
  }
});
