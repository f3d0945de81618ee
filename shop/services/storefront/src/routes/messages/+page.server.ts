import { optional } from '$lib/answer';
import { refuseExpired, signedIn, text } from '$lib/server/guard';
import { words } from '$lib/words';
import { fail, redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = async (event) => {
  signedIn(event);
  const after = (event.url.searchParams.get('after') ?? '').slice(0, 20);
  const answer = await event.locals.shop.mailbox({ limit: 20, after });
  if (!answer.ok) refuseExpired(event, answer.refusal);
  const page = optional(answer);
  return {
    mails: page?.items ?? null,
    older: page?.next && `/messages?${new URLSearchParams({ after: page.next })}`,
  };
};

export const actions: Actions = {
  /** Read twice is read once, so the form needs no key. */
  default: async (event) => {
    signedIn(event);
    const id = text(await event.request.formData(), 'id');
    const answer = await event.locals.shop.readMail(id);
    // The page that comes next shows it read, in its place.
    if (answer.ok) redirect(303, event.url.pathname + event.url.search.replace(/^\?\/.*/, ''));
    refuseExpired(event, answer.refusal);
    return fail(answer.refusal.status || 503, { message: words.messages.notMarked });
  },
};
