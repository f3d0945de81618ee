// Conditional and range requests (RFC 9110, sections 13 and 14), as pure decisions over one file's validator and size.
//
// Validators are strong: the SHA-256 of the content. Dates are sent for people and not compared; whoever has one has the
// other.

/** What to answer to a GET. */
export type Verdict =
  | { status: 200; start: number; end: number }
  | { status: 206; start: number; end: number }
  | { status: 304 | 412 | 416 };

export interface ReadConditions {
  ifMatch?: string | undefined;
  ifNoneMatch?: string | undefined;
  ifRange?: string | undefined;
  range?: string | undefined;
}

/** Ends are inclusive; of an empty file `end` is -1. */
export function judgeRead(etag: string, size: number, asked: ReadConditions): Verdict {
  const whole = { status: 200, start: 0, end: size - 1 } as const;
  if (asked.ifMatch !== undefined && !names(asked.ifMatch, etag)) return { status: 412 };
  if (asked.ifNoneMatch !== undefined && names(weakened(asked.ifNoneMatch), etag)) return { status: 304 };
  if (asked.range === undefined) return whole;
  // Of another version the asker has nothing to add to.
  if (asked.ifRange !== undefined && asked.ifRange.trim() !== etag) return whole;
  const range = parseRange(asked.range, size);
  if (range === null) return whole;
  return range === 'outside' ? { status: 416 } : { status: 206, ...range };
}

/** Whether a PUT may replace what is there; `etag` is null where nothing is. */
export function mayWrite(
  etag: string | null,
  asked: Pick<ReadConditions, 'ifMatch' | 'ifNoneMatch'>,
): boolean {
  if (asked.ifMatch !== undefined && !(etag !== null && names(asked.ifMatch, etag))) return false;
  return !(asked.ifNoneMatch !== undefined && etag !== null && names(weakened(asked.ifNoneMatch), etag));
}

/** Whether a list of entity tags, or `*`, names this one; a weak tag is never ours. */
function names(list: string, etag: string): boolean {
  return list.split(',').some((one) => one.trim() === '*' || one.trim() === etag);
}

/** Weak tags as strong ones: If-None-Match compares weakly, If-Match does not (RFC 9110, section 13.1). */
const weakened = (list: string): string => list.replaceAll(/(^|,)(\s*)W\//g, '$1$2');

/** One range of bytes. Null: not a single range, to be ignored. */
function parseRange(text: string, size: number): { start: number; end: number } | 'outside' | null {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text.trim()) ?? [];
  if (first === undefined || last === undefined || (!first && !last)) return null;
  if (!first) {
    // The last so many bytes.
    const length = Math.min(Number(last), size);
    return length === 0 ? 'outside' : { start: size - length, end: size - 1 };
  }
  const [start, end] = [Number(first), last ? Math.min(Number(last), size - 1) : size - 1];
  if (last && Number(last) < start) return null;
  return start >= size ? 'outside' : { start, end };
}
