// Running cases one after the other, each to a line of JSON; and names: every one of them is this machine.
import dns from 'node:dns';
import { setTimeout as sleep } from 'node:timers/promises';

// Longest wait for anything that should happen, in milliseconds.
export const PATIENCE = 60_000;

const resolve = dns.lookup;
dns.lookup = (name, options, done) =>
  resolve(name.endsWith('.test') ? '127.0.0.1' : name, options, done ?? options);

export async function run(cases) {
  for (const [name, body] of Object.entries(cases)) {
    let error = null;
    try {
      await Promise.race([body(), late()]);
    } catch (reason) {
      error = String(reason?.message ?? reason);
    }
    console.log(JSON.stringify({ case: name, error }));
  }
}

async function late() {
  await sleep(PATIENCE / 2, undefined, { ref: false });
  throw new Error('nothing came of it');
}

export async function until(what, probe) {
  const end = Date.now() + PATIENCE / 6;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(what);
    await sleep(20);
  }
}
