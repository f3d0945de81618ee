// What a call to the public API came to: a value, or a refusal to put into words.

export interface Refusal {
  /** HTTP status; 0 when no answer came. */
  status: number;
  /** The problem's one word for programs; `unreachable` when no answer came. */
  reason: string;
  /** Seconds after which to try again, where the answer says so. */
  retryAfter: number | null;
  /** The resource that the problem speaks of: an order that was cancelled. */
  id: string | null;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; refusal: Refusal };

/**
 * Whether the call may have been carried out, or may still be, although no result came back.
 *
 * A new try must then carry the same `Idempotency-Key`, and after every other refusal a new one.
 */
export function inDoubt({ status, reason }: Refusal): boolean {
  return status === 0 || status >= 500 || status === 429 || reason === 'in_progress';
}

/** Of an optional call: its value, or null while it fails. */
export function optional<T>(answer: Answer<T>): T | null {
  return answer.ok ? answer.value : null;
}
