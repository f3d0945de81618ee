// After a build: packs every file by Brotli and gzip, since the controller serves what lies there and packs nothing, and
// fails when the scripts that the first page needs have grown beyond their budget. With `clean`, before a build: empties
// the folder but for its `.gitignore`.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

/** Of the initial JavaScript, packed by gzip. */
const BUDGET = 150 * 1024;
const DIST = new URL('../dist/', import.meta.url).pathname;

if (process.argv[2] === 'clean') {
  for (const name of readdirSync(DIST)) {
    if (name !== '.gitignore') rmSync(join(DIST, name), { recursive: true });
  }
  process.exit();
}

const files = readdirSync(DIST, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name !== '.gitignore')
  .map((entry) => join(entry.parentPath, entry.name));
const packed = new Map();
for (const file of files) {
  const content = readFileSync(file);
  const gzip = gzipSync(content, { level: 9 });
  const brotli = brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  writeFileSync(`${file}.gz`, gzip);
  writeFileSync(`${file}.br`, brotli);
  packed.set(file, { gzip: gzip.length, brotli: brotli.length });
}

const page = readFileSync(join(DIST, 'index.html'), 'utf8');
const initial = [...packed].filter(
  ([file]) => file.endsWith('.js') && page.includes(file.slice(DIST.length)),
);
const total = initial.reduce((sum, [, size]) => sum + size.gzip, 0);
const all = [...packed.values()].reduce((sum, size) => sum + size.gzip, 0);
console.log(`initial JavaScript: ${kib(total)} gzip of ${kib(BUDGET)}; everything: ${kib(all)}`);
if (initial.length === 0 || total > BUDGET) {
  console.error(
    initial.length === 0 ? 'no script in index.html' : 'the initial JavaScript is over its budget',
  );
  process.exit(1);
}

/** @param {number} bytes */
function kib(bytes) {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}
