// gRPC's interop service by grpc-js, and the witness of what is over: on the port that PORT says, without TLS.
import * as grpc from '@grpc/grpc-js';
import { interop, witness } from '../clients/proto.js';

// Names of calls that were given up; as many as a run of the judges makes, and no more.
const cancelled = new Set();

const payload = (size) => ({ body: Buffer.alloc(size) });

// Gives metadata back: text in front, bytes behind. What is to come behind is returned.
function echo(call) {
  const [initial] = call.metadata.get('x-grpc-test-echo-initial');
  const [trailing] = call.metadata.get('x-grpc-test-echo-trailing-bin');
  if (initial !== undefined) {
    const head = new grpc.Metadata();
    head.set('x-grpc-test-echo-initial', initial);
    call.sendMetadata(head);
  }
  const behind = new grpc.Metadata();
  if (trailing !== undefined) behind.set('x-grpc-test-echo-trailing-bin', trailing);
  return behind;
}

function watch(call) {
  const [name] = call.metadata.get('x-judge-call');
  if (name !== undefined) call.on('cancelled', () => cancelled.add(name));
}

const refusal = ({ code, message }, metadata) => ({ code, details: message, metadata });

async function answer(call, request) {
  for (const { size, intervalUs } of request.responseParameters) {
    if (intervalUs > 0) await new Promise((resolve) => setTimeout(resolve, intervalUs / 1000));
    if (call.cancelled) return;
    call.write({ payload: payload(size) });
  }
}

const service = {
  EmptyCall: (_call, done) => done(null, {}),
  UnaryCall(call, done) {
    const behind = echo(call);
    const { responseStatus, responseSize } = call.request;
    if (responseStatus?.code) return done(refusal(responseStatus, behind));
    return done(null, { payload: payload(responseSize) }, behind);
  },
  async StreamingOutputCall(call) {
    watch(call);
    await answer(call, call.request);
    call.end();
  },
  StreamingInputCall(call, done) {
    watch(call);
    let size = 0;
    call.on('data', (request) => (size += request.payload.body.length));
    call.on('end', () => done(null, { aggregatedPayloadSize: size }));
  },
  FullDuplexCall(call) {
    watch(call);
    const behind = echo(call);
    let last = Promise.resolve();
    call.on('data', (request) => {
      last = last.then(async () => {
        if (request.responseStatus?.code) call.emit('error', refusal(request.responseStatus, behind));
        else await answer(call, request);
      });
    });
    call.on('end', () => last.then(() => call.end(behind)));
  },
};

const server = new grpc.Server();
server.addService(interop.TestService.service, service);
server.addService(witness.Witness.service, {
  Look: (call, done) => done(null, { over: cancelled.has(call.request.name) }),
});
server.bindAsync(`127.0.0.1:${process.env.PORT}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
