import { describe, expect, it } from 'vitest';
import { formatMoney, parseMoney } from './money';

describe('formatMoney', () => {
  it.each([
    [5400, 'EUR', '€54.00'],
    [5, 'EUR', '€0.05'],
    [123456789, 'EUR', '€1,234,567.89'],
    [-250, 'EUR', '-€2.50'],
    [5400, 'KRW', '₩5,400'],
  ])('shows %i minor units of %s as %s', (minor, currency, text) => {
    expect(formatMoney(minor, currency)).toBe(text);
  });
});

describe('parseMoney', () => {
  it.each([
    ['12', 1200],
    ['12.5', 1250],
    ['12,50', 1250],
    [' 0.01 ', 1],
  ])('takes %j for %i cents', (text, minor) => {
    expect(parseMoney(text, 'EUR')).toBe(minor);
  });

  it.each(['', '0', '0.00', '-5', '12.345', '1,234.50', '1e3', 'ten', '10000000000'])(
    'refuses %j',
    (text) => {
      expect(parseMoney(text, 'EUR')).toBeNull();
    },
  );

  it('knows a currency without decimals', () => {
    expect([parseMoney('900', 'KRW'), parseMoney('9.5', 'KRW')]).toEqual([900, null]);
  });
});
