import { json } from '@sveltejs/kit';
import type { RequestHandler } from './$types';

/** Where the order stands, for the page that follows it; a refusal keeps its status, and the page asks again later. */
export const GET: RequestHandler = async ({ locals, params }) => {
  const answer = await locals.shop.order(params.id);
  return answer.ok
    ? json({ status: answer.value.status })
    : new Response(null, { status: answer.refusal.status || 503 });
};
