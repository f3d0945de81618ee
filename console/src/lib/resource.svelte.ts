// What a page reads from the admin API: read when its path changes, and again when the controller was away.
//
// What was read stays while the next answer is on its way, so that a page does not flicker under live updates. One read
// at a time: a wish to read again waits for the one under way, so that a slow answer arrives however often it is asked.

import { untrack } from 'svelte';
import { Problem, get } from './api';
import { live } from './live.svelte';

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined);
  problem = $state.raw<Problem | undefined>(undefined);
  loading = $state(false);
  /** Of the read under way; another path ends it. */
  #abort: AbortController | null = null;
  /** Read again at the end of the read under way. */
  #stale = false;
  readonly #path: () => string | null;

  /**
   * Call where a component begins. `path` is looked at again whenever what it reads changes; `null`: read nothing.
   * `about` says of what the answer tells: what was read stays while that stays, such as when only more of it is asked.
   */
  constructor(path: () => string | null, about: () => string | null = path) {
    const now = $derived(path());
    const subject = $derived(about());
    this.#path = () => now;
    $effect(() => {
      void subject;
      this.data = undefined;
      this.problem = undefined;
    });
    $effect(() => {
      void now;
      untrack(() => void this.#read());
      return () => {
        this.#abort?.abort();
        this.#abort = null;
      };
    });
    let epoch = live.epoch;
    $effect(() => {
      if (live.epoch === epoch) return;
      epoch = live.epoch;
      untrack(() => this.again());
    });
  }

  /** Reads it again. */
  again() {
    this.#stale = true;
    if (this.#abort === null) void this.#read();
  }

  /** Until nobody asked for it meanwhile. */
  async #read() {
    const path = this.#path();
    this.loading = path !== null;
    if (path === null) return;
    const abort = new AbortController();
    this.#abort = abort;
    do {
      this.#stale = false;
      await this.#readOnce(path, abort.signal);
      if (abort.signal.aborted) return;
    } while (this.#stale);
    this.#abort = null;
    this.loading = false;
  }

  async #readOnce(path: string, signal: AbortSignal) {
    try {
      const data = await get<T>(path, signal);
      if (signal.aborted) return;
      this.data = data;
      this.problem = undefined;
    } catch (error) {
      // While nobody answers the page keeps what it has; it is read again when the controller is back.
      if (signal.aborted || !(error instanceof Problem)) return;
      if (!(error.isAway && this.data !== undefined)) this.problem = error;
    }
  }
}
