// The routes: events in, mailboxes out. openapi.yaml says the same for clients; test/http.test.ts compares them.
//
// | an event         | answer | what Ondol makes of it              |
// |------------------|--------|-------------------------------------|
// | became a mail    | 204    | delivered                           |
// | was taken before | 204    | delivered                           |
// | is no CloudEvent | 400    | dead letter                         |
// | no mail can be made of it | 422 | dead letter, its key waits     |
// | the disk is full, the database busy | 503 + Retry-After | the subscription waits, nothing counts as a try |
// | anything else    | 500    | tried again                         |

import { BadPush, parsePush } from '@ondol/sdk';
import type { FastifyInstance } from 'fastify';
import { callerOf, createApp, Problem, unavailable, type AppOptions } from 'shop-kit-node';
import { Unwritable, write } from './mail.ts';
import { passes, type Mailboxes } from './mailbox.ts';

/** Bytes of an event; Ondol's own bound for one is the same. */
const MAX_EVENT = 1024 * 1024;

export function notifications(mailboxes: Mailboxes, options: AppOptions = {}): FastifyInstance {
  const app = createApp(options);
  app.addHook('onClose', () => {
    mailboxes.close();
  });
  app.register((events) => events_(events, mailboxes));
  app.register((api) => mailbox(api, mailboxes));
  app.get('/internal/totals', () => whenOpen(() => mailboxes.totals()));
  return app;
}

async function events_(app: FastifyInstance, mailboxes: Mailboxes): Promise<void> {
  // An event's body is what its content type says, and the SDK reads it: here it stays bytes.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_EVENT }, (_, body, done) => {
    done(null, body);
  });
  app.post<{ Body: Buffer | undefined }>(
    '/internal/events',
    { bodyLimit: MAX_EVENT },
    async (request, reply) => {
      const push = refuse(
        BadPush,
        ({ status }) => status,
        'bad_event',
        () => parsePush(request.headers, request.body ?? Buffer.of()),
      );
      const { event, subscription } = push;
      const taken = refuse(
        Unwritable,
        () => 422,
        'no_mail',
        () => whenOpen(() => mailboxes.take(subscription, event, () => write(event))),
      );
      if (!taken) request.log.debug({ event: event.id, attempt: push.attempt }, 'event was taken before');
      return reply.code(204).send();
    },
  );
}

async function mailbox(app: FastifyInstance, mailboxes: Mailboxes): Promise<void> {
  const querystring = {
    type: 'object',
    properties: {
      limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
      after: { type: 'string', pattern: '^[0-9]{1,15}$' },
    },
  };
  app.get<{ Querystring: { limit: number; after?: string } }>(
    '/api/mailbox',
    { schema: { querystring } },
    (request) => {
      const { limit, after } = request.query;
      const { subject } = callerOf(request);
      return whenOpen(() => mailboxes.page(subject, limit, after === undefined ? null : Number(after)));
    },
  );
  // Read twice is read once, so its Idempotency-Key is taken and not needed.
  app.post<{ Params: { id: string } }>('/api/mailbox/:id/read', (request) => {
    const { id } = request.params;
    const { subject } = callerOf(request);
    if (!whenOpen(() => mailboxes.markRead(subject, id))) {
      throw new Problem(404, 'not_found', 'There is no such mail in your mailbox');
    }
    return { id, read: true };
  });
}

/** Turns one kind of error into a problem that says what is wrong. */
function refuse<T, E extends Error>(
  kind: new (...args: never[]) => E,
  status: (error: E) => number,
  reason: string,
  work: () => T,
): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof kind) throw new Problem(status(error), reason, error.message, { cause: error });
    throw error;
  }
}

/** While the database cannot be used: 503, and nothing has been done. */
function whenOpen<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!passes(error)) throw error;
    throw unavailable('database_unavailable', 'The database cannot be used at the moment', 1, error);
  }
}
