import { inDoubt } from '$lib/answer';
import { keyOf, safeNext, text } from '$lib/server/guard';
import { startSession } from '$lib/server/session';
import { invalid, refusalWords } from '$lib/words';
import { fail, redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

export const load: PageServerLoad = ({ locals, url }) => {
  const next = safeNext(url.searchParams.get('next'));
  if (locals.session) redirect(303, next);
  return { next, key: crypto.randomUUID() };
};

/** What is wrong with the fields, by name; the service says the last word. */
function check({ name, email, password }: { name: string; email: string; password: string }) {
  const wrong: { name?: string; email?: string; password?: string } = {};
  if (name.length < 1 || name.length > 100) wrong.name = invalid.name;
  if (!/^[^\s@]+@[^\s@]+$/.test(email) || email.length > 254) wrong.email = invalid.email;
  if (password.length < 8 || password.length > 256) wrong.password = invalid.password;
  return Object.keys(wrong).length > 0 ? wrong : null;
}

export const actions: Actions = {
  default: async ({ request, locals, cookies, url }) => {
    const form = await request.formData();
    const key = keyOf(form);
    const [name, email, password] = [
      text(form, 'name'),
      text(form, 'email'),
      String(form.get('password') ?? ''),
    ];
    const wrong = check({ name, email, password });
    if (wrong) return fail(400, { key, name, email, wrong, message: null });

    const answer = await locals.shop.register({ name, email, password }, key);
    if (!answer.ok) {
      const { refusal } = answer;
      const again = inDoubt(refusal) ? key : crypto.randomUUID();
      const message = refusalWords(refusal);
      return fail(refusal.status || 503, { key: again, name, email, wrong: null, message });
    }
    const next = safeNext(url.searchParams.get('next'));
    const session = await locals.shop.signIn(email, password);
    // The account is there; when signing in fails now, its page says why.
    if (!session.ok) redirect(303, `/sign-in?${new URLSearchParams({ next })}`);
    startSession(cookies, url, session.value.token, session.value.expires_at);
    redirect(303, next);
  },
};
