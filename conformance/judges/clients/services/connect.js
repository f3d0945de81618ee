// The interop service by connect-node, which speaks Connect, gRPC-Web and gRPC by itself: `connect.js [h2c]`, else HTTP/1.1.
import http from 'node:http';
import http2 from 'node:http2';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { TestService, Witness } from '../clients/schema.js';

const seen = new Set();
const payload = (size) => ({ body: new Uint8Array(size) });

// Writes down a named call that is over before what is returned here was called.
function watch(context) {
  const name = context.requestHeader.get('x-judge-call');
  let done = false;
  if (name !== null) context.signal.addEventListener('abort', () => done || seen.add(name));
  return () => (done = true);
}

function echo(context) {
  const [initial, trailing] = ['x-grpc-test-echo-initial', 'x-grpc-test-echo-trailing-bin'];
  const sent = context.requestHeader;
  if (sent.has(initial)) context.responseHeader.set(initial, sent.get(initial));
  if (sent.has(trailing)) context.responseTrailer.set(trailing, sent.get(trailing));
}

function refuse(status) {
  if (status?.code) throw new ConnectError(status.message, status.code);
}

async function* answers(request) {
  for (const { size, intervalUs } of request.responseParameters) {
    if (intervalUs > 0) await new Promise((resolve) => setTimeout(resolve, intervalUs / 1000));
    yield { payload: payload(size) };
  }
}

const routes = (router) => {
  router.service(TestService, {
    emptyCall: () => ({}),
    unaryCall(request, context) {
      echo(context);
      refuse(request.responseStatus);
      return { payload: payload(request.responseSize) };
    },
    async *streamingOutputCall(request, context) {
      const done = watch(context);
      echo(context);
      refuse(request.responseStatus);
      yield* answers(request);
      done();
    },
    async streamingInputCall(requests, context) {
      const done = watch(context);
      let size = 0;
      for await (const request of requests) size += request.payload.body.length;
      done();
      return { aggregatedPayloadSize: size };
    },
    async *fullDuplexCall(requests, context) {
      const done = watch(context);
      echo(context);
      for await (const request of requests) {
        refuse(request.responseStatus);
        yield* answers(request);
      }
      done();
    },
    unimplementedCall() {
      throw new ConnectError('not built', Code.Unimplemented);
    },
  });
  router.service(Witness, { look: ({ name }) => ({ over: seen.has(name) }) });
};

const handler = connectNodeAdapter({ routes });
const server = process.argv[2] === 'h2c' ? http2.createServer(handler) : http.createServer(handler);
server.listen(Number(process.env.PORT), '127.0.0.1');
