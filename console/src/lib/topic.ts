// One topic of the live stream as its reader knows it: snapshots replace, deltas change, and a gap is seen.

import type { Frame, Members } from './types';

export type Taken = 'taken' | 'known' | 'gap';

export class Topic<T = unknown> {
  /** Replaced, never changed, so that whoever looks at it sees a change. */
  state: Record<string, T> = {};
  #n: number | null = null;

  /** `known`: it was taken before; `gap`: something is missing, and only a snapshot mends that. */
  take(frame: Frame): Taken {
    if (frame.snapshot) {
      this.#n = frame.n;
      this.state = (frame.put ?? {}) as Record<string, T>;
      return 'taken';
    }
    if (this.#n === null) return 'gap';
    if (frame.n <= this.#n) return 'known';
    if (frame.n !== this.#n + 1) return 'gap';
    this.#n = frame.n;
    if (frame.put !== undefined || frame.gone !== undefined) {
      const next: Members = { ...this.state, ...frame.put };
      for (const key of frame.gone ?? []) delete next[key];
      this.state = next as Record<string, T>;
    }
    return 'taken';
  }
}
