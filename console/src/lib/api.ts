// Asks the admin API. Reads go with the cookie alone; writes carry the token that only this page could read.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }

  /** Nobody answered: the controller is away, or the network. */
  get isAway() {
    return this.status === 0;
  }
}

let csrf: string | null = null;

/** Forgets the token, as after a sign-out. */
export function forget() {
  csrf = null;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return ask<T>(path, signal === undefined ? {} : { signal });
}

export async function post<T>(path: string, body?: unknown, method = 'POST'): Promise<T> {
  try {
    return await write(path, body, method);
  } catch (error) {
    // The token is of a sign-in, and another tab may have signed in anew. A refused write has done nothing.
    if (!(error instanceof Problem) || error.status !== 403) throw error;
    forget();
    return write(path, body, method);
  }
}

async function write<T>(path: string, body: unknown, method: string): Promise<T> {
  csrf ??= (await get<{ csrf: string | null }>('/v1/console')).csrf;
  const headers: Record<string, string> = { 'ondol-csrf': csrf ?? '' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  return ask<T>(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: 'same-origin', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem(0, '', 'the controller does not answer');
  }
  const text = await response.text();
  if (response.ok) return (text === '' ? null : JSON.parse(text)) as T;
  throw problem(response.status, text);
}

/** An RFC 9457 problem, or whatever else was said. */
export function problem(status: number, text: string): Problem {
  try {
    const { code, detail, title } = JSON.parse(text) as Record<string, string | undefined>;
    return new Problem(status, code ?? '', detail ?? title ?? `status ${status}`);
  } catch {
    return new Problem(status, '', text.slice(0, 300) || `status ${status}`);
  }
}

/** A path with a query of those parameters that say something. */
export function query(path: string, parameters: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** A segment of a path. */
export const segment = encodeURIComponent;
