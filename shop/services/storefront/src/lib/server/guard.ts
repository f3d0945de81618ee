// What stands between a request and a page: signing in, and answers that the page cannot do without.

import type { Answer, Refusal } from '$lib/answer';
import { invalid, notFound, refusalWords } from '$lib/words';
import { error, redirect, type RequestEvent } from '@sveltejs/kit';
import { endSession, type Session } from './session';

/** A path of this shop to go back to after signing in; anything else is the front page. */
export function safeNext(next: string | null): string {
  return next && /^\/(?![/\\])[\w\-./?=&%~+]*$/.test(next) ? next : '/';
}

/** Who is signed in. A visitor is sent to sign in and comes back. */
export function signedIn(event: RequestEvent): Session {
  return event.locals.session ?? toSignIn(event);
}

/** The value of an answer without which there is no page. */
export function required<T>(event: RequestEvent, answer: Answer<T>): T {
  if (answer.ok) return answer.value;
  const { refusal } = answer;
  refuseExpired(event, refusal);
  if (refusal.status === 404) error(404, { message: notFound });
  const passing = refusal.status === 0 || refusal.status === 429 || refusal.status >= 500;
  error(passing ? refusal.status || 503 : 400, { message: refusalWords(refusal), again: passing });
}

/** Sends to sign in again whose token is no longer believed. */
export function refuseExpired(event: RequestEvent, refusal: Refusal): void {
  if (refusal.status === 401 && event.locals.session) {
    endSession(event.cookies, event.url);
    toSignIn(event);
  }
}

function toSignIn({ url }: RequestEvent): never {
  // A form's address names its action (`?/order`), which only a POST may use.
  const here = url.search.startsWith('?/') ? url.pathname : url.pathname + url.search;
  redirect(303, `/sign-in?${new URLSearchParams({ next: here })}`);
}

/** The key that the form's page was made with. */
export function keyOf(form: FormData): string {
  const key = text(form, 'key');
  if (!/^[0-9a-f-]{36}$/.test(key)) error(400, { message: invalid.form });
  return key;
}

/** A field as text; empty where it is missing. */
export function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value.trim() : '';
}
