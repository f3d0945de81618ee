// What a page reads from the admin API: read when its path changes, and again when the controller was away.
//
// What was read stays while the next answer is on its way, so that a page does not flicker under live updates.

import { Problem, get } from './api';
import { live } from './live.svelte';

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined);
  problem = $state.raw<Problem | undefined>(undefined);
  loading = $state(false);
  #turn = $state(0);

  /** Call where a component begins. `path` is looked at again whenever what it reads changes; `null`: read nothing. */
  constructor(path: () => string | null) {
    let last: string | null = null;
    $effect(() => {
      const now = path();
      void live.epoch;
      void this.#turn;
      if (now !== last) {
        this.data = undefined;
        last = now;
      }
      if (now === null) return;
      const abort = new AbortController();
      void this.#read(now, abort.signal);
      return () => abort.abort();
    });
  }

  /** Reads it again. */
  again() {
    this.#turn += 1;
  }

  async #read(path: string, signal: AbortSignal) {
    this.loading = true;
    try {
      const data = await get<T>(path, signal);
      if (signal.aborted) return;
      this.data = data;
      this.problem = undefined;
    } catch (error) {
      if (signal.aborted) return;
      // While nobody answers the page keeps what it has; it is read again when the controller is back.
      if (error instanceof Problem && !(error.isAway && this.data !== undefined)) this.problem = error;
    } finally {
      if (!signal.aborted) this.loading = false;
    }
  }
}
