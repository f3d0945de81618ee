import { expect, it } from 'vitest';
import { visible } from './virtual';

it('draws what is seen and a little more, never more than there is', () => {
  expect(visible(0, 300, 30, 10_000)).toEqual({ first: 0, end: 18 });
  expect(visible(3000, 300, 30, 10_000)).toEqual({ first: 92, end: 118 });
  expect(visible(3000, 300, 30, 5)).toEqual({ first: 5, end: 5 });
  expect(visible(0, 0, 30, 0)).toEqual({ first: 0, end: 0 });
});
