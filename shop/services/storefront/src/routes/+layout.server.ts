import { optional } from '$lib/answer';
import { pieces } from '$lib/basket';
import { endSession, readBasket } from '$lib/server/session';
import type { LayoutServerLoad } from './$types';

/** What stands above every page. It does without the services: then the page shows less, but it shows. */
export const load: LayoutServerLoad = async ({ locals, cookies, untrack, url }) => {
  const inBasket = pieces(readBasket(cookies));
  if (!locals.session) return { account: null, inBasket };
  const { shop } = locals;
  const [me, wallet, mailbox] = await Promise.all([shop.me(), shop.wallet(), shop.unread()]);
  if (!me.ok && me.refusal.status === 401) {
    // The token has ended before its cookie: the page is shown as to a visitor.
    untrack(() => endSession(cookies, url));
    return { account: null, inBasket };
  }
  const account = {
    name: optional(me)?.name ?? null,
    wallet: optional(wallet),
    unread: optional(mailbox)?.unread ?? null,
  };
  return { account, inBasket };
};
