// Tests that are one story: each part stands on what the one before it left behind.

import { it } from 'node:test';

/**
 * Gives an `it` whose later parts are skipped once one has failed, since what they stand on is missing.
 *
 * @returns {(name: string, body: () => Promise<void> | void) => void}
 */
export function story() {
  let broken = false;
  return (name, body) =>
    void it(name, async (test) => {
      if (broken) return test.skip('an earlier part failed');
      broken = true;
      await body();
      broken = false;
    });
}
