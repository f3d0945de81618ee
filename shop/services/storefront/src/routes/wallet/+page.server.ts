import { inDoubt, optional } from '$lib/answer';
import { parseMoney } from '$lib/money';
import { keyOf, refuseExpired, signedIn, text } from '$lib/server/guard';
import { depositInDoubt, invalid, refusalWords } from '$lib/words';
import { fail } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

/** The shop has one currency; the wallet says so too, when it can be asked. */
const CURRENCY = 'EUR';

export const load: PageServerLoad = async (event) => {
  signedIn(event);
  const { shop } = event.locals;
  const [answer, points] = await Promise.all([shop.wallet(), shop.points()]);
  if (!answer.ok) refuseExpired(event, answer.refusal);
  return { wallet: optional(answer), points: optional(points)?.balance ?? null, key: crypto.randomUUID() };
};

export const actions: Actions = {
  default: async (event) => {
    signedIn(event);
    const form = await event.request.formData();
    const key = keyOf(form);
    const typed = text(form, 'amount');
    const amount = parseMoney(typed, CURRENCY);
    if (amount === null || amount > 1_000_000_000) {
      return fail(400, { key, typed, wrong: invalid.amount, message: null });
    }
    const answer = await event.locals.shop.deposit(amount, key);
    if (answer.ok) return { added: { amount, currency: CURRENCY } };

    const { refusal } = answer;
    refuseExpired(event, refusal);
    const doubt = inDoubt(refusal);
    return fail(refusal.status || 503, {
      key: doubt ? key : crypto.randomUUID(),
      typed,
      wrong: null,
      message: doubt ? depositInDoubt(refusal) : refusalWords(refusal),
    });
  },
};
