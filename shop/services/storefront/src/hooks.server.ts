import { env } from '$env/dynamic/private';
import { createGateway } from '$lib/server/gateway';
import { readSession } from '$lib/server/session';
import { createShop } from '$lib/server/shop';
import { broken, notFound } from '$lib/words';
import type { Handle, HandleServerError, ServerInit } from '@sveltejs/kit';

export const init: ServerInit = () => {
  if (!env.GATEWAY_URL) throw new Error('GATEWAY_URL is not set: where is the public API?');
};

/** The Content-Security-Policy is SvelteKit's (svelte.config.js), since it knows the nonces. */
const SECURITY = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=()',
};

export const handle: Handle = async ({ event, resolve }) => {
  const session = readSession(event.cookies);
  event.locals.session = session;
  event.locals.shop = createShop(
    createGateway({
      base: env.GATEWAY_URL ?? '',
      token: session?.token ?? null,
      incoming: event.request.headers,
      fetch,
    }),
  );
  const response = await resolve(event);
  for (const [name, value] of Object.entries(SECURITY)) response.headers.set(name, value);
  // Every page shows whose it is: account, balance, basket.
  response.headers.set('cache-control', 'private, no-store');
  return response;
};

export const handleError: HandleServerError = ({ error, event, status }) => {
  if (status === 404) return { message: notFound };
  console.error(JSON.stringify({ level: 'error', route: event.route.id, error: String(error) }), error);
  return { message: broken };
};
