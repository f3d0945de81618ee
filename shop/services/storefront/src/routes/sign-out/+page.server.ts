import { endSession } from '$lib/server/session';
import { redirect } from '@sveltejs/kit';
import type { Actions, PageServerLoad } from './$types';

/** Signing out is a POST, so that no link or picture can do it. */
export const load: PageServerLoad = () => redirect(303, '/');

export const actions: Actions = {
  default: ({ cookies, url }) => {
    endSession(cookies, url);
    redirect(303, '/');
  },
};
