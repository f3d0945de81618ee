// Reading a request's headers, whatever framework holds them.

/** `Headers` of fetch, or the plain object of node:http, Express, Fastify and Koa. */
export type HeaderSource = Headers | Readonly<Record<string, string | string[] | undefined>>;

/** The value of a header by its name in lower case; of a repeated one the values joined. */
export function header(source: HeaderSource, name: string): string | undefined {
  if (source instanceof Headers) return source.get(name) ?? undefined;
  // Node's own objects have names in lower case; others may not.
  const value = source[name] ?? Object.entries(source).find(([own]) => own.toLowerCase() === name)?.[1];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Every header, names in lower case. */
export function* allHeaders(source: HeaderSource): Generator<[string, string]> {
  const entries = source instanceof Headers ? source : Object.entries(source);
  for (const [name, value] of entries) {
    if (value !== undefined) yield [name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value];
  }
}
