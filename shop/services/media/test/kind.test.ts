import { describe, expect, it } from 'vitest';
import { kindOf } from '../src/kind.ts';
import { checkName } from '../src/name.ts';

const kind = (content: string | number[], name = 'x') =>
  kindOf(name, typeof content === 'string' ? Buffer.from(content) : Buffer.from(content));

describe('what bytes are', () => {
  it.each<[string, string | number[]]>([
    ['image/png', [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0]],
    ['image/jpeg', [0xff, 0xd8, 0xff, 0xe0]],
    ['image/gif', 'GIF89a...'],
    ['image/webp', 'RIFF1234WEBPVP8 '],
    ['image/avif', '\0\0\0\x20ftypavif'],
    ['image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['image/svg+xml', '\uFEFF<?xml version="1.0"?>\n<!-- drawn --> <!--by hand-->\n<svg>'],
    ['application/octet-stream', '<!doctype html><svg>'],
    ['application/octet-stream', '<script>alert(1)</script><svg>'],
    ['application/octet-stream', '<svgx>'],
    ['application/octet-stream', 'RIFF1234WAVE'],
    ['application/octet-stream', '%PDF-1.7'],
    ['application/octet-stream', ''],
  ])('%s: %j', (type, content) => {
    expect(kind(content)).toBe(type);
  });

  it('a comment without end is looked through in a moment', () => {
    expect(kind(`<!--${'--><!--'.repeat(70)}`)).toBe('application/octet-stream');
  });

  it('must be what a picture’s name says', () => {
    expect(() => kind('<html>', 'a.png')).toThrow('The name says image/png');
    expect(() => kind('GIF89a', 'a.jpeg')).toThrow('The name says image/jpeg');
    expect(kind('GIF89a', 'a.gif')).toBe('image/gif');
    expect(kind('anything', 'a.txt')).toBe('application/octet-stream');
  });
});

describe('a name', () => {
  it.each(['a', 'product-p01.svg', 'a_b-c.tar.gz', 'x'.repeat(100)])('may be %s', (name) => {
    expect(checkName(name)).toBe(name);
  });

  const HOSTILE = [
    '',
    '.',
    '..',
    '.hidden',
    'a.',
    'a..b',
    'a/b',
    '../a',
    '..\\a',
    'a\0',
    'A.png',
    'ä',
    'a b',
    'a\n',
    '%2e%2e',
  ];
  it.each([...HOSTILE, 'x'.repeat(101), 'a:b', '__proto__.', 'con ', '\u202egnp.exe'])(
    'is not %j',
    (name) => {
      expect(() => checkName(name)).toThrow('A name is');
    },
  );
});
