import { describe, expect, it } from 'vitest';
import { inDoubt, type Refusal } from './answer';
import { count, deliveryWords, refusalWords } from './words';

const refusal = (status: number, reason = '', retryAfter: number | null = null): Refusal => ({
  status,
  reason,
  retryAfter,
  id: null,
});

describe('refusalWords', () => {
  it('prefers the reason to the status', () => {
    expect(refusalWords(refusal(409, 'insufficient_funds'))).toMatch(/not enough money/);
  });

  it('says when to try again', () => {
    expect(refusalWords(refusal(429, 'too_many_attempts', 42))).toMatch(/wrong passwords.*42 seconds\.$/);
    expect(refusalWords(refusal(503, 'x', 1))).toMatch(/1 second\.$/);
    expect(refusalWords(refusal(503, 'x', 600))).toMatch(/10 minutes\.$/);
    expect(refusalWords(refusal(0, 'unreachable'))).toMatch(/in a moment\.$/);
  });

  it('does not ask for another try where it would not help', () => {
    expect(refusalWords(refusal(409, 'out_of_stock'))).not.toMatch(/again/);
  });
});

describe('inDoubt', () => {
  it.each([
    [refusal(0), true],
    [refusal(503), true],
    [refusal(500), true],
    [refusal(429), true],
    [refusal(409, 'in_progress'), true],
    [refusal(409, 'out_of_stock'), false],
    [refusal(422, 'key_reused'), false],
    [refusal(400), false],
  ])('of %o is %s', (given, doubt) => {
    expect(inDoubt(given)).toBe(doubt);
  });
});

it('count knows one from many', () => {
  expect([count(1, 'piece'), count(1200, 'piece'), count(0, 'person', 'people')]).toEqual([
    '1 piece',
    '1,200 pieces',
    '0 people',
  ]);
});

it('deliveryWords tells a day from a span, and nothing of what are no days', () => {
  const [earliest, latest] = ['2026-11-24', '2026-11-26'];
  expect(deliveryWords({ earliest, latest: earliest })).toBe('Expected Tuesday, 24 November.');
  expect(deliveryWords({ earliest, latest, carrier: 'North Post' })).toBe(
    'Expected between Tuesday, 24 November and Thursday, 26 November, with North Post.',
  );
  expect(deliveryWords({ earliest: 'soon', latest })).toBeNull();
});
