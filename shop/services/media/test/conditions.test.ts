import { describe, expect, it } from 'vitest';
import { judgeRead, mayWrite } from '../src/conditions.ts';

const ETAG = '"a1"';
const SIZE = 1000;
const read = (asked: Parameters<typeof judgeRead>[2], size = SIZE) => judgeRead(ETAG, size, asked);
const whole = { status: 200, start: 0, end: 999 };

describe('a range', () => {
  it.each<[string, unknown]>([
    ['bytes=0-99', { status: 206, start: 0, end: 99 }],
    ['bytes=900-', { status: 206, start: 900, end: 999 }],
    ['bytes=-100', { status: 206, start: 900, end: 999 }],
    ['bytes=-5000', { status: 206, start: 0, end: 999 }],
    ['bytes=990-5000', { status: 206, start: 990, end: 999 }],
    ['bytes=999-999', { status: 206, start: 999, end: 999 }],
    ['bytes=1000-', { status: 416 }],
    ['bytes=-0', { status: 416 }],
    ['bytes=5-4', whole],
    ['bytes=-', whole],
    ['bytes=0-1,5-6', whole],
    ['pages=1-2', whole],
    ['bytes=0x1-2', whole],
    [`bytes=0-${'9'.repeat(30)}`, whole],
  ])('%s', (range, verdict) => {
    expect(read({ range })).toEqual(verdict);
  });

  it('of another version is the whole of this one', () => {
    expect(read({ range: 'bytes=0-9', ifRange: '"old"' })).toEqual(whole);
    expect(read({ range: 'bytes=0-9', ifRange: `W/${ETAG}` })).toEqual(whole);
    expect(read({ range: 'bytes=0-9', ifRange: ETAG })).toEqual({ status: 206, start: 0, end: 9 });
  });

  it('of nothing lies outside', () => {
    expect(read({ range: 'bytes=0-' }, 0)).toEqual({ status: 416 });
    expect(read({}, 0)).toEqual({ status: 200, start: 0, end: -1 });
  });
});

it('who has it already is told so, before any range', () => {
  for (const ifNoneMatch of [ETAG, `W/${ETAG}`, '*', `"b", ${ETAG}`]) {
    expect(read({ ifNoneMatch, range: 'bytes=0-9' })).toEqual({ status: 304 });
  }
  expect(read({ ifNoneMatch: '"b"' })).toEqual(whole);
  expect([read({ ifMatch: '"b"' }), read({ ifMatch: ETAG })]).toEqual([{ status: 412 }, whole]);
  expect(read({ ifMatch: `W/${ETAG}` })).toEqual({ status: 412 });
});

it('a write says what it expects to find', () => {
  expect([mayWrite(null, {}), mayWrite(ETAG, {})]).toEqual([true, true]);
  expect([mayWrite(null, { ifNoneMatch: '*' }), mayWrite(ETAG, { ifNoneMatch: '*' })]).toEqual([true, false]);
  expect([mayWrite(ETAG, { ifMatch: ETAG }), mayWrite(ETAG, { ifMatch: '"b"' })]).toEqual([true, false]);
  expect([mayWrite(ETAG, { ifMatch: `W/${ETAG}` }), mayWrite(ETAG, { ifNoneMatch: `W/${ETAG}` })]).toEqual([
    false,
    false,
  ]);
  expect([mayWrite(null, { ifMatch: '*' }), mayWrite(null, { ifMatch: ETAG })]).toEqual([false, false]);
});
