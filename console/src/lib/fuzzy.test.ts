import { expect, it } from 'vitest';
import { best, score } from './fuzzy';

it('letters must come in order, and starts of words come first', () => {
  expect(score('xyz', 'orders')).toBeNull();
  const names = ['bank-north', 'notifications', 'open bank-south', 'orders'];
  expect(best('bs', names, (name) => name, 5)[0]).toBe('open bank-south');
  expect(best('ord', names, (name) => name, 5)).toEqual(['orders']);
  expect(best('', names, (name) => name, 2)).toHaveLength(2);
});
