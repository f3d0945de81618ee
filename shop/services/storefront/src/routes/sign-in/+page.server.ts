import { safeNext, text } from '$lib/server/guard';
import { startSession } from '$lib/server/session';
import { refusalWords } from '$lib/words';
import { fail, redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = ({ locals, url }) => {
  const next = safeNext(url.searchParams.get('next'));
  if (locals.session) redirect(303, next);
  return { next };
};

export const actions: Actions = {
  default: async ({ request, locals, cookies, url }) => {
    const form = await request.formData();
    const email = text(form, 'email');
    const password = form.get('password');
    const answer = await locals.shop.signIn(email, typeof password === 'string' ? password : '');
    if (!answer.ok) {
      const { refusal } = answer;
      return fail(refusal.status || 503, { email, message: refusalWords(refusal) });
    }
    startSession(cookies, url, answer.value.token, answer.value.expires_at);
    redirect(303, safeNext(url.searchParams.get('next')));
  },
};
