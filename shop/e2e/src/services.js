// Services of the shop that a test takes away for a while: stopped, not killed, so that callers wait for an answer that does not
// come. `SYSTEM` names the system's folder and `ONDOL` the program; without them nothing can be taken away.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const { SYSTEM, ONDOL } = process.env;

/** Whether services can be taken away here. */
export const canTakeAway = SYSTEM !== undefined && ONDOL !== undefined;

/**
 * The processes of a service; none where it is skipped for want of its toolchain.
 *
 * @param {string} service
 * @returns {Promise<number[]>}
 */
export async function processes(service) {
  if (SYSTEM === undefined || ONDOL === undefined) throw new Error('SYSTEM and ONDOL are not set');
  // It ends with 1 while some service is not well, as one that was taken away is.
  const said = await promisify(execFile)(ONDOL, ['-C', SYSTEM, 'status', '--json']).catch((error) => error);
  const { services } = JSON.parse(said.stdout);
  const found = services.find((/** @type {{ service: string }} */ one) => one.service === service);
  const pids = (found?.instances ?? []).map((/** @type {{ pid: number | null }} */ { pid }) => pid);
  return pids.filter((/** @type {number | null} */ pid) => pid !== null);
}

/**
 * Looks again and again, with the service stopped, until `look` succeeds; then lets it go on. Ondol may start a service that does
 * not answer anew in between, so each look begins with stopping it.
 *
 * @param {string} service
 * @param {() => Promise<void>} look
 */
export async function without(service, look) {
  /** @type {Set<number>} */
  const stopped = new Set();
  try {
    for (let left = 5; ; left--) {
      for (const pid of await processes(service)) {
        signal(pid, 'SIGSTOP');
        stopped.add(pid);
      }
      try {
        return await look();
      } catch (error) {
        if (left === 0) throw error;
      }
    }
  } finally {
    for (const pid of stopped) signal(pid, 'SIGCONT');
  }
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} name
 */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It has ended meanwhile.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}
