// A Fastify app as every service of the shop has it: JSON logs with trace ids, problems for whatever fails, /health, and
// bounds on what a client may take.
//
// The proxy writes the access log, so a service writes only what the proxy cannot know: why something failed.

import type { IncomingMessage } from 'node:http';
import {
  fastify,
  LogController,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { Problem } from './problem.ts';

/** Connections open at a time; more are refused by the kernel's queue. The proxy shares few among all callers. */
const MAX_CONNECTIONS = 1024;

/** Longer than the proxy keeps an idle connection (60 s at most), so that no request meets one that is just closing. */
const KEEP_ALIVE = 75_000;

/** Characters of a part of a path; a handler says what is wrong with a long one. */
const MAX_PARAMETER = 1024;

export interface AppOptions {
  /** Bytes of a body that is read as a whole; 64 KiB unless told. */
  bodyLimit?: number;
  /** Milliseconds for a request to arrive whole; 30 s unless told. */
  requestTimeout?: number;
  /** Milliseconds without a byte in either direction, after which a connection is cut; no bound of its own unless told. */
  idleTimeout?: number;
  /** Where log lines go; standard output unless told. */
  logTo?: { write(line: string): void };
}

export function createApp(options: AppOptions = {}): FastifyInstance {
  const { bodyLimit = 64 * 1024, requestTimeout = 30_000, idleTimeout = 0, logTo } = options;
  const app = fastify({
    bodyLimit,
    requestTimeout,
    connectionTimeout: idleTimeout,
    keepAliveTimeout: KEEP_ALIVE,
    routerOptions: { maxParamLength: MAX_PARAMETER },
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'trace_id' }),
    genReqId: traceId,
    logger: {
      level: process.env['LOG'] ?? 'info',
      messageKey: 'message',
      base: null,
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
      ...(logTo && { stream: logTo }),
    },
    // What does not fit is refused, never bent until it fits; a query's numbers are text, and are read as numbers.
    ajv: { customOptions: { coerceTypes: true, removeAdditional: false, allErrors: false } },
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  // A head that trickles in holds a connection no longer than this.
  app.server.headersTimeout = 15_000;
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((_, reply) =>
    send(reply, new Problem(404, 'not_found', 'There is nothing at this path')),
  );
  app.get('/health', () => ({ status: 'ok' }));
  return app;
}

function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = problemOf(error);
  // What was refused on purpose is no trouble of ours.
  if (problem.status >= 500) {
    const cause = error instanceof Problem ? (error.cause ?? error) : error;
    request.log.error({ error: chain(cause), reason: problem.reason }, problem.message);
  }
  return send(reply, problem);
}

export function send(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.retryAfter !== undefined) void reply.header('retry-after', problem.retryAfter);
  return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** A thrown `Problem`, a refusal of Fastify's own, or a failure of ours that tells the client nothing. */
function problemOf(error: FastifyError): Problem {
  if (error instanceof Problem) return error;
  const status = error.statusCode ?? 500;
  if (status >= 500) return new Problem(500, 'internal', 'Something went wrong here');
  const reason = error.validation ? 'invalid' : (REASONS[status] ?? 'invalid');
  return new Problem(status, reason, error.message);
}

const REASONS: Record<number, string> = { 413: 'too_large', 415: 'unsupported_type' };

/** An error and its causes in one line. */
function chain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${chain(error.cause)}`;
}

/** The W3C trace id, 32 hexadecimal digits; empty where there is none. */
function traceId({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const value = headers['traceparent'];
  return /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(typeof value === 'string' ? value : '')?.[1] ?? '';
}
