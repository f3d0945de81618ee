// Builds the service in the current folder: ./src/main.ts and all that it imports become ./build/main.cjs.
//
// One file starts fast and needs no node_modules. Native addons cannot be put into it; the packages that hold them are
// copied beside it, so that a build is whole and a release can keep a copy of it (release.js).

import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const modules = join(import.meta.dirname, '../node_modules');
/** Packages with a native addon, and the scope of which one package, for this machine, holds it. */
const NATIVE = { libsql: '@libsql' };

// A build that was killed between its last two lines left the one before it under this name.
if (!existsSync('build') && existsSync('build.old')) renameSync('build.old', 'build');
rmSync('build.half', { recursive: true, force: true });
mkdirSync('build.half');
const result = await build({
  entryPoints: ['src/main.ts'],
  outfile: 'build.half/main.cjs',
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  conditions: ['source'],
  external: Object.values(NATIVE).map((scope) => `${scope}/*`),
  sourcemap: true,
  legalComments: 'linked',
  logLevel: 'warning',
  metafile: true,
});
for (const [name, scope] of Object.entries(NATIVE)) {
  const used = Object.keys(result.metafile.inputs).some((path) => path.includes(`node_modules/${name}/`));
  if (used) cpSync(join(modules, scope), join('build.half/node_modules', scope), { recursive: true });
}
// Whole or not at all: a folder cannot be renamed over another, so the one before it stands aside.
rmSync('build.old', { recursive: true, force: true });
if (existsSync('build')) renameSync('build', 'build.old');
renameSync('build.half', 'build');
rmSync('build.old', { recursive: true, force: true });
