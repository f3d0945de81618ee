// The routes: files up and down, as streams. openapi.yaml says the same for clients; the tests hold answers against it.
//
// Neither way is a file in memory: a chunk is read when the one before it is written, so a slow reader slows the disk and
// a slow disk slows the sender. Bounds: UPLOADS at a time and EACH of one customer, IDLE without a byte in either direction, UPLOAD_WITHIN for the
// whole of an upload.

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { callerOf, createApp, Problem, unavailable, type AppOptions, type Caller } from 'shop-kit-node';
import { judgeRead, mayWrite, type ReadConditions } from './conditions.ts';
import { isShown } from './kind.ts';
import { checkName } from './name.ts';
import { MAX_SIZE, type Entry, type MediaStore } from './store.ts';

/** At a time; further ones are asked to come back. */
const UPLOADS = 32;
/** Of one customer at a time, so that no one shuts out all others. */
const EACH = 4;
/** Milliseconds without a byte, up or down. */
const IDLE = 30_000;
/** Milliseconds. */
const UPLOAD_WITHIN = 600_000;

/** Milliseconds to go on reading what nobody wants. */
const LINGER = 2_000;

/** A picture opened by itself is a page of our origin: it may run nothing, load nothing, frame nothing. */
const HARMLESS = {
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox",
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
};

interface Named {
  Params: { name: string };
}

export function media(store: MediaStore, options: AppOptions = {}): FastifyInstance {
  const app = createApp({ requestTimeout: UPLOAD_WITHIN, idleTimeout: IDLE, ...options });
  const uploads = new Uploads();
  // Bodies stay the streams that they are.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _body, done) => {
    done(null);
  });

  app.put<Named>('/api/media/:name', async (request, reply) => {
    const caller = callerOf(request);
    const name = checkName(request.params.name);
    refuseUnreadable(request);
    const leave = uploads.enter(caller.subject);
    try {
      const allow = (current: Entry | null) => mayChange(current, caller, conditionsOf(request));
      // Leaving the loop over the body must not cut the connection: the answer goes back on it.
      const body = request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
      const { entry, isNew } = await store.write({ name, owner: caller.subject, allow, body });
      const { size, type, etag } = entry;
      void reply.code(isNew ? 201 : 200).header('etag', etag);
      return { name, size, type, url: `/api/media/${name}` };
    } catch (error) {
      if (request.raw.errored) throw new Problem(400, 'incomplete', 'The upload ended before its end');
      throw error;
    } finally {
      leave();
    }
  });
  app.delete<Named>('/api/media/:name', async (request, reply) => {
    const caller = callerOf(request);
    const name = checkName(request.params.name);
    const allow = (current: Entry) => mayChange(current, caller, conditionsOf(request));
    if (!(await store.remove(name, allow))) throw notFound();
    return reply.code(204).send();
  });
  app.addHook('onResponse', async ({ raw }) => letGo(raw));

  app.route<Named>({
    method: ['GET', 'HEAD'],
    url: '/api/media/:name',
    handler: async (request, reply) => {
      const name = checkName(request.params.name);
      const found = await store.read(name);
      if (!found) throw notFound();
      const { entry, file } = found;
      const asked = conditionsOf(request);
      // A range is of GET alone (RFC 9110, section 14.2).
      if (request.method === 'HEAD') asked.range = undefined;
      const verdict = judgeRead(entry.etag, entry.size, asked);
      if (!('start' in verdict)) {
        await file.close();
        return answerWithout(reply, verdict.status, entry);
      }
      const { status, start, end } = verdict;
      describe(reply.code(status), name, entry).header('content-length', end - start + 1);
      if (status === 206) void reply.header('content-range', `bytes ${start}-${end}/${entry.size}`);
      if (request.method === 'HEAD' || entry.size === 0) {
        await file.close();
        return reply.send();
      }
      return reply.send(file.createReadStream({ start, end }));
    },
  });
  return app;
}

/** Who is uploading: at most UPLOADS, each customer at most EACH. */
class Uploads {
  readonly #of = new Map<string, number>();
  #all = 0;

  /** Gives what to call at the end. */
  enter(subject: string): () => void {
    const own = this.#of.get(subject) ?? 0;
    if (this.#all >= UPLOADS || own >= EACH) {
      throw unavailable('too_many_uploads', 'Too many uploads at the moment', 1);
    }
    this.#all += 1;
    this.#of.set(subject, own + 1);
    return () => {
      this.#all -= 1;
      const left = (this.#of.get(subject) ?? 1) - 1;
      if (left > 0) this.#of.set(subject, left);
      else this.#of.delete(subject);
    };
  }
}

const notFound = () => new Problem(404, 'not_found', 'There is no file of this name');

function mayChange(current: Entry | null, caller: Caller, conditions: ReadConditions): void {
  if (current && current.owner !== caller.subject && !caller.roles.includes('admin')) {
    throw new Problem(403, 'name_taken', 'This name belongs to somebody else; choose another');
  }
  if (!mayWrite(current?.etag ?? null, conditions)) {
    throw new Problem(412, 'precondition_failed', 'What is there is not what you think');
  }
}

/**
 * After an early answer: the rest of the body is read and thrown away for a while, since a connection that is cut before
 * its sender looks up takes the answer with it. Of a body that was read to its end nothing is left.
 */
function letGo(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  setTimeout(() => request.destroy(), LINGER).unref();
}

/** What can be refused before the first byte of the body. */
function refuseUnreadable({ headers }: FastifyRequest): void {
  if (headers['content-range'] !== undefined) throw new Problem(400, 'invalid', 'A file is sent whole');
  if (headers['content-encoding'] !== undefined) {
    throw new Problem(415, 'unsupported_type', 'A file is sent as it is, without Content-Encoding');
  }
  if (Number(headers['content-length'] ?? 0) > MAX_SIZE) {
    throw new Problem(413, 'too_large', `A file is at most ${MAX_SIZE} bytes`);
  }
}

function conditionsOf({ headers }: FastifyRequest): ReadConditions {
  const range = headers['if-range'];
  return {
    ifMatch: headers['if-match'],
    ifNoneMatch: headers['if-none-match'],
    ifRange: typeof range === 'string' ? range : undefined,
    range: headers.range,
  };
}

/** Everything about a file but its bytes. */
function describe(reply: FastifyReply, name: string, { etag, type, at }: Entry): FastifyReply {
  return reply.headers({
    ...HARMLESS,
    'accept-ranges': 'bytes',
    'cache-control': 'public, max-age=300',
    'content-disposition': isShown(type) ? 'inline' : `attachment; filename="${name}"`,
    'content-type': type,
    etag,
    'last-modified': new Date(at).toUTCString(),
  });
}

function answerWithout(reply: FastifyReply, status: 304 | 412 | 416, { etag, size }: Entry): FastifyReply {
  if (status === 304) return reply.code(304).headers({ etag, 'cache-control': 'public, max-age=300' }).send();
  if (status === 412) throw new Problem(412, 'precondition_failed', 'What is there is not what you think');
  void reply.header('content-range', `bytes */${size}`);
  throw new Problem(416, 'outside', `The file has ${size} bytes`);
}
