// RFC 9457 problems: what every answer that is no success looks like. `reason` is the word for programs.

export interface ProblemOptions {
  /** Seconds for `Retry-After`. */
  retryAfter?: number;
  /** More members of the document. */
  members?: Record<string, unknown>;
  /** For the log, never for the client. */
  cause?: unknown;
}

/** Thrown by a handler, answered by the app. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  readonly reason: string;
  readonly retryAfter: number | undefined;
  readonly members: Record<string, unknown>;

  constructor(status: number, reason: string, title: string, options: ProblemOptions = {}) {
    super(title, 'cause' in options ? { cause: options.cause } : {});
    this.status = status;
    this.reason = reason;
    this.retryAfter = options.retryAfter;
    this.members = options.members ?? {};
  }

  /** The document. */
  toJSON(): Record<string, unknown> {
    return { title: this.message, status: this.status, reason: this.reason, ...this.members };
  }
}

/** Not now, and perhaps in `seconds`; nothing has been done. */
export const unavailable = (reason: string, title: string, seconds: number, cause?: unknown): Problem =>
  new Problem(503, reason, title, { retryAfter: seconds, cause });
