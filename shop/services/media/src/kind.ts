// What bytes are, by looking at them. The sender's word is not taken: a page that calls itself a picture would be run by
// the browser of whoever looks at it.
//
// Pictures are shown; everything else is kept as bytes without meaning and only offered to be saved.

import { Problem } from 'shop-kit-node';

/** Bytes that are looked at. */
export const LOOKED_AT = 512;

const OTHER = 'application/octet-stream';

type Test = (head: Buffer) => boolean;

const starts =
  (...bytes: number[]): Test =>
  (head) =>
    head.subarray(0, bytes.length).equals(Buffer.from(bytes));

const has =
  (at: number, ...words: string[]): Test =>
  (head) =>
    words.some((word) => head.toString('latin1', at, at + word.length) === word);

/**
 * Text that begins with an `<svg>`, after at most a declaration, comments and white space.
 *
 * Piece by piece and not by one expression: that would try the comments in every possible way before it gave up.
 */
const isSvg: Test = (head) => {
  let rest = head.toString('utf8').replace(/^\uFEFF/, '');
  for (let before = ''; before !== rest;) {
    before = rest;
    rest = rest.trimStart().replace(/^(<\?xml[^>]*\?>|<!--[^]*?-->)/, '');
  }
  return /^<svg[\s>/]/.test(rest);
};

const PICTURES: { type: string; names: RegExp; test: Test }[] = [
  { type: 'image/png', names: /\.png$/, test: starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a) },
  { type: 'image/jpeg', names: /\.jpe?g$/, test: starts(0xff, 0xd8, 0xff) },
  { type: 'image/gif', names: /\.gif$/, test: has(0, 'GIF87a', 'GIF89a') },
  { type: 'image/webp', names: /\.webp$/, test: (head) => has(0, 'RIFF')(head) && has(8, 'WEBP')(head) },
  { type: 'image/avif', names: /\.avif$/, test: has(4, 'ftypavif', 'ftypavis') },
  { type: 'image/svg+xml', names: /\.svg$/, test: isSvg },
];

/** The media type by the first bytes. Throws 415 when the name promises a picture of another kind. */
export function kindOf(name: string, head: Buffer): string {
  const found = PICTURES.find(({ test }) => test(head))?.type ?? OTHER;
  const promised = PICTURES.find(({ names }) => names.test(name))?.type;
  if (promised === undefined || promised === found) return found;
  throw new Problem(415, 'wrong_type', `The name says ${promised}, and the content is ${found}`);
}

/** Whether a browser may show it in a page. */
export const isShown = (type: string): boolean => type !== OTHER;
