import { required } from '$lib/server/guard';
import type { PageServerLoad } from './$types';

const PAGE = 24;

export const load: PageServerLoad = async (event) => {
  const parameter = (name: string, longest: number) =>
    (event.url.searchParams.get(name) ?? '').trim().slice(0, longest);
  const q = parameter('q', 200);
  const after = parameter('after', 64);
  const { items, next } = required(event, await event.locals.shop.products({ q, after, limit: PAGE }));
  const more = next && `/?${new URLSearchParams({ ...(q && { q }), after: next })}`;
  return { q, products: items, first: after === '', more };
};
