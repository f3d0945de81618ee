// Starts the service in the current folder: under Ondol from the release's own copy of the build, else from the build itself.

import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { keepRelease } from './release.js';

const build = resolve('build');
const { ONDOL_DATA: data, ONDOL_RELEASE: release } = process.env;
const folder = data && release ? keepRelease({ build, data, release }) : build;

await import(pathToFileURL(join(folder, 'main.cjs')).href);
