// Who asks, as the gateway has verified it. Every `Ondol-*` header from outside is removed there, so what arrives is true.

import type { FastifyRequest } from 'fastify';
import { Problem } from './problem.ts';

/** The person behind the request. */
export interface Caller {
  /** The token's `sub`: the user's id. */
  subject: string;
  roles: string[];
}

/** Throws 401 when nobody is signed in. */
export function callerOf({ headers }: FastifyRequest): Caller {
  const text = (name: string) => {
    const value = headers[name];
    return typeof value === 'string' ? value.trim() : '';
  };
  const subject = text('ondol-subject');
  if (!subject) throw new Problem(401, 'unauthorized', 'Sign in first');
  return { subject, roles: text('ondol-roles').split(/[, ]+/).filter(Boolean) };
}
