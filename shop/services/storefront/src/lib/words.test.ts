import { describe, expect, it } from 'vitest';
import { inDoubt, type Refusal } from './answer';
import { count, deliveryWords, parcelWords, refusalWords } from './words';

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

it('deliveryWords tells a day from a span, and no day of what is none', () => {
  const promise = { status: 'booked', carrier: 'North Post', earliest: '2026-11-24', latest: '2026-11-26' };
  const said = (other: Partial<typeof promise>) => deliveryWords({ ...promise, ...other });
  expect(said({ latest: '2026-11-24' })).toBe('Expected Tuesday, 24 November, with North Post.');
  expect(said({})).toBe('Expected between Tuesday, 24 November and Thursday, 26 November, with North Post.');
  expect(said({ earliest: 'soon' })).toBe('On its way with North Post.');
  expect(said({ status: 'delivered' })).toBe('Delivered by North Post.');
});

it('parcelWords says where it was last, of a later state too', () => {
  expect(parcelWords({ status: 'in_transit', place: 'Incheon' })).toBe(
    'The parcel is under way, last seen in Incheon.',
  );
  expect(parcelWords({ status: 'at_the_moon', place: null })).toBe('The parcel is under way.');
});
