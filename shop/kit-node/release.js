// A release's own copy of the build, so that a later build never changes what a running release reads or restarts.
//
// Some of it is read long after the start (SvelteKit's pages and scripts when they are first asked for, all of it when an
// instance is started again); meanwhile the next release is built into the same folder. Instances of one release share a
// copy. It appears whole, by rename, or not at all.
//
// Plain JavaScript without dependencies: the storefront, which has its own lockfile, imports it too.

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** The running release, the one before, and one more. */
const KEPT = 3;

/**
 * The folder to run `release` from; copied from `build` when it is not there yet.
 *
 * @param {{ build: string, data: string, release: string }} where `data` is the service's own folder
 * @returns {string}
 */
export function keepRelease({ build, data, release }) {
  const all = join(data, 'releases');
  const kept = join(all, release.replaceAll(/[^\w.-]/g, '_'));
  if (existsSync(kept)) return kept;
  mkdirSync(all, { recursive: true });
  const half = `${kept}.half-${process.pid}`;
  cpSync(build, half, { recursive: true });
  // The build's own is our package.json, which it leaves behind.
  writeFileSync(join(half, 'package.json'), '{ "type": "module" }\n');
  try {
    renameSync(half, kept);
  } catch (error) {
    rmSync(half, { recursive: true });
    // Another instance of this release was faster, and its copy is the same.
    if (!existsSync(kept)) throw error;
  }
  forgetOld(all, kept);
  return kept;
}

/**
 * @param {string} all
 * @param {string} current
 */
function forgetOld(all, current) {
  const others = readdirSync(all).flatMap((name) => {
    const path = join(all, name);
    // Another instance may be doing the same; what is gone is gone.
    const entry = statSync(path, { throwIfNoEntry: false });
    return entry && path !== current ? [{ path, made: entry.ctimeMs }] : [];
  });
  others.sort((one, other) => other.made - one.made);
  for (const { path } of others.slice(KEPT - 1)) rmSync(path, { recursive: true, force: true });
}
