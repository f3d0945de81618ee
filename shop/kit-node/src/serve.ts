// A service's life: variables, state, socket, requests, SIGTERM, the end.
//
// State first: whoever can connect is served. After SIGTERM no connection is accepted, and requests that run may end within
// STOP_WITHIN, below the manifest's `stop_within` (10 s), after which the supervisor kills.

import { mkdirSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';

const STOP_WITHIN = 8_000;

/** Runs a service to its end: `start` makes its state and its app. Exit code 1 with one line when it cannot start. */
export async function main(start: () => FastifyInstance | Promise<FastifyInstance>): Promise<void> {
  try {
    const port = Number(variable('PORT'));
    const app = await start();
    await app.listen({ host: '127.0.0.1', port });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop(app));
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

async function stop(app: FastifyInstance): Promise<void> {
  const cut = setTimeout(() => {
    app.log.warn(`requests were cut: they did not end within ${STOP_WITHIN / 1000} s of SIGTERM`);
    app.server.closeAllConnections();
  }, STOP_WITHIN);
  await app.close();
  clearTimeout(cut);
}

/** A variable that Ondol gives. */
export function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; Ondol gives it to every service that it runs`);
  return value;
}

/** The service's own folder for files. */
export function dataFolder(): string {
  const folder = variable('ONDOL_DATA');
  mkdirSync(folder, { recursive: true });
  return folder;
}
