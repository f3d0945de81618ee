import { describe, expect, it } from 'vitest';
import { bytes, clock, date, figure, madeAt, percent, relative, span, stamp } from './format';

describe('figures', () => {
  it.each([
    [0, '0'],
    [0.4249, '0.42'],
    [7.14, '7.14'],
    [86.04, '86'],
    [12_400.4, '12,400'],
    [NaN, '–'],
  ])('%d is %s', (value, text) => expect(figure(value, 'en')).toBe(text));

  it.each([
    [0, '0%'],
    [0.0004, '0.04%'],
    [0.015, '1.5%'],
    [0.25, '25%'],
  ])('%d is %s', (share, text) => expect(percent(share, 'en')).toBe(text));

  it.each([
    [0, '0 ms'],
    [0.85, '850 µs'],
    [4.2, '4.2 ms'],
    [100, '100 ms'],
    [1300, '1.3 s'],
    [20_000, '20 s'],
    [59_900, '1 min'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [11_040_000, '3 h 4 min'],
    [183_600_000, '2 d 3 h'],
  ])('%d ms is %s', (ms, text) => expect(span(ms)).toBe(text));

  it('sizes have one unit', () =>
    expect([bytes(900), bytes(1536), bytes(20 << 20)]).toEqual(['900 B', '1.5 KiB', '20 MiB']));
});

describe('times', () => {
  it('of another day say which', () => {
    const noon = new Date(2026, 10, 22, 12).getTime();
    expect(stamp(noon - 60_000, noon, 'en')).toBe('11:59:00.000');
    expect(stamp(noon - 86_400_000, noon, 'en')).toBe('Nov 21, 12:00:00');
    expect(stamp('no time', noon, 'en')).toBe('no time');
  });
  it('are relative in the words of the language', () => {
    expect(relative(0, 12_000, 'en')).toBe('12s ago');
    expect(relative(0, 7_200_000, 'ko')).toBe('2시간 전');
    expect(relative('1970-01-01T00:03:00Z', 0, 'en')).toBe('in 3m');
  });

  it('of the day have milliseconds', () =>
    expect(clock(new Date(2026, 0, 2, 3, 4, 5, 6).getTime())).toBe('03:04:05.006'));

  it('that cannot be read are shown as they are', () => {
    for (const at of ['2026-06-30T23:59:60Z', '2026-01-02T03:04:05+01:00[Europe/Paris]']) {
      expect([clock(at), date(at, 'en'), relative(at, 0, 'ko')]).toEqual([at, at, at]);
    }
    expect([clock(NaN), date(NaN, 'en')]).toEqual(['–', '–']);
  });

  it('are in an id that was made with one', () => {
    expect(madeAt('019aa1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b')).toBe(0x019aa1b2c3d4);
    expect(madeAt('019aa1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b')).toBeNull();
  });
});
