// Reading a request's headers, whatever framework holds them.

/** `Headers` of fetch, or the plain object of node:http, Express, Fastify and Koa. */
export type HeaderSource = Headers | Readonly<Record<string, string | string[] | undefined>>;

/** The value of a header by its name in lower case; of a repeated one the values joined. */
export function header(source: HeaderSource, name: string): string | undefined {
  if (source instanceof Headers) return source.get(name) ?? undefined;
  const value = source[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Every header, names in lower case. */
export function* allHeaders(source: HeaderSource): Generator<[string, string]> {
  if (source instanceof Headers) {
    yield* source;
    return;
  }
  for (const [name, value] of Object.entries(source)) {
    if (value !== undefined) yield [name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value];
  }
}
