import type { RequestHandler } from './$types';

/** Whether this instance can be asked. The gateway's health is not ours: a page that cannot reach it says so itself. */
export const GET: RequestHandler = () => new Response('ok\n');
