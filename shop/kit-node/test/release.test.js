import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keepRelease } from '../release.js';

/** @type {string} */ let dir;
/** @type {string} */ let build;
/** @type {string} */ let data;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'storefront-'));
  [build, data] = [join(dir, 'build'), join(dir, 'data')];
  mkdirSync(join(build, 'client'), { recursive: true });
  make('one');
});
afterEach(() => rmSync(dir, { recursive: true }));

/** @param {string} text */
const make = (text) => writeFileSync(join(build, 'client/page.js'), text);
/** @param {string} folder */
const page = (folder) => readFileSync(join(folder, 'client/page.js'), 'utf8');
/** @param {string} release */
const keep = (release) => keepRelease({ build, data, release });

it('a later build changes nothing of a release, nor does its next start', () => {
  const first = keep('a');
  make('two');
  expect([page(first), page(keep('a')), page(keep('b'))]).toEqual(['one', 'one', 'two']);
});

it('half a copy, of an instance that was killed, is not taken for a release', () => {
  mkdirSync(join(data, 'releases/a.half-1'), { recursive: true });
  expect(page(keep('a'))).toBe('one');
});

it('only the newest are kept', () => {
  for (const release of ['a', 'b', 'c', 'd', 'e']) keep(release);
  expect(readdirSync(join(data, 'releases'))).toHaveLength(3);
  expect(readdirSync(join(data, 'releases'))).toContain('e');
});

it('a release is a folder inside the data folder, whatever it is called', () => {
  expect(keep('../../x')).toBe(join(data, 'releases', '.._.._x'));
});
