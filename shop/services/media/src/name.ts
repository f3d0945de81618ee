// Names of files: what a URL may ask for, and nothing that a file system could read in another way.

import { Problem } from 'shop-kit-node';

/**
 * 1 to 100 lower-case letters, digits, `-`, `_` and `.`, neither `.` first nor last, no two dots in a row.
 *
 * So there is no folder, no hidden file, no name that differs from another in case only. Throws 400.
 */
export function checkName(name: string): string {
  if (name.length <= 100 && /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name)) return name;
  throw new Problem(400, 'bad_name', 'A name is 1 to 100 of a-z, 0-9, "-", "_" and single dots between them');
}
