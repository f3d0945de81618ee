// gRPC's interop cases by grpc-js: `grpc.js URL`. The same as in `judges/grpc_cases.py`, which says where they come from.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { PATIENCE, run, until } from './cases.js';
import { interop, witness } from './proto.js';

const url = new URL(process.argv[2]);
const credentials =
  url.protocol === 'https:'
    ? grpc.credentials.createSsl(readFileSync(process.env.NODE_EXTRA_CA_CERTS))
    : grpc.credentials.createInsecure();
const options = {
  'grpc.default_authority': url.hostname,
  'grpc.ssl_target_name_override': url.hostname,
};
const address = `127.0.0.1:${url.port}`;
const test = new interop.TestService(address, credentials, options);
const nobody = new interop.UnimplementedService(address, credentials, options);
const seen = new witness.Witness(address, credentials, options);

const REQUESTS = [27182, 8, 1828, 45904];
const ANSWERS = [31415, 9, 2653, 58979];
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \u{1f608}\t\n';
const INITIAL = 'x-grpc-test-echo-initial';
const TRAILING = 'x-grpc-test-echo-trailing-bin';
const { UNKNOWN, UNIMPLEMENTED, CANCELLED, DEADLINE_EXCEEDED } = grpc.status;

const payload = (size) => ({ body: Buffer.alloc(size) });
const question = (size, answer) => ({ responseParameters: [{ size: answer }], payload: payload(size) });
const soon = () => ({ deadline: Date.now() + PATIENCE });

// A call with one answer: that, its metadata in front, and its status. Without a request it is a stream of them, to be written to `ask.last`.
function ask(client, method, request, metadata = new grpc.Metadata(), options = soon()) {
  return new Promise((resolve) => {
    let [answer, head] = [];
    const done = (_error, value) => (answer = value);
    const call =
      request === undefined
        ? client[method](metadata, options, done)
        : client[method](request, metadata, options, done);
    call.on('metadata', (metadata) => (head = metadata));
    call.on('status', (status) => resolve({ answer, head, status }));
    ask.last = call;
  });
}

// What a stream still brings: answers, metadata in front, and its status.
function rest(stream) {
  return new Promise((resolve) => {
    const answers = [];
    let head;
    stream.on('metadata', (metadata) => (head = metadata));
    stream.on('data', (answer) => answers.push(answer.payload.body.length));
    stream.on('error', () => {});
    stream.on('status', (status) => resolve({ answers, head, status }));
  });
}

const next = (stream) => new Promise((resolve) => stream.once('data', resolve));

function echoes() {
  const metadata = new grpc.Metadata();
  metadata.set(INITIAL, 'test_initial_metadata_value');
  metadata.set(TRAILING, Buffer.from('ababab', 'hex'));
  return metadata;
}

function echoed({ head, status }) {
  assert.equal(status.code, grpc.status.OK, status.details);
  assert.deepEqual(head.get(INITIAL), ['test_initial_metadata_value']);
  assert.deepEqual(status.metadata.get(TRAILING), [Buffer.from('ababab', 'hex')]);
}

function named() {
  const name = randomUUID();
  const metadata = new grpc.Metadata();
  metadata.set('x-judge-call', name);
  const cancelled = async () => (await ask(seen, 'Look', { name })).answer.over;
  return [metadata, () => until('the server was not told that the call is over', cancelled)];
}

await run({
  async empty_unary() {
    const { answer, status } = await ask(test, 'EmptyCall', {});
    assert.deepEqual([answer, status.code], [{}, grpc.status.OK]);
  },
  async large_unary() {
    const { answer } = await ask(test, 'UnaryCall', { responseSize: 314159, payload: payload(271828) });
    assert.equal(answer.payload.body.length, 314159);
  },
  async client_streaming() {
    const ended = ask(test, 'StreamingInputCall');
    REQUESTS.forEach((size) => ask.last.write({ payload: payload(size) }));
    ask.last.end();
    assert.equal((await ended).answer.aggregatedPayloadSize, 74922);
  },
  async server_streaming() {
    const responseParameters = ANSWERS.map((size) => ({ size }));
    const { answers, status } = await rest(test.StreamingOutputCall({ responseParameters }, soon()));
    assert.deepEqual([answers, status.code], [ANSWERS, grpc.status.OK]);
  },
  async ping_pong() {
    const stream = test.FullDuplexCall(soon());
    const ended = rest(stream);
    for (const [at, size] of REQUESTS.entries()) {
      const answer = next(stream);
      stream.write(question(size, ANSWERS[at]));
      assert.equal((await answer).payload.body.length, ANSWERS[at]);
    }
    stream.end();
    const { answers, status } = await ended;
    assert.deepEqual([answers, status.code], [ANSWERS, grpc.status.OK]);
  },
  async empty_stream() {
    const stream = test.FullDuplexCall(soon());
    stream.end();
    const { answers, status } = await rest(stream);
    assert.deepEqual([answers, status.code], [[], grpc.status.OK]);
  },
  async custom_metadata() {
    const request = { responseSize: 314159, payload: payload(271828) };
    echoed(await ask(test, 'UnaryCall', request, echoes()));
    const stream = test.FullDuplexCall(echoes(), soon());
    stream.write(question(27182, 31415));
    stream.end();
    echoed(await rest(stream));
  },
  async status_code_and_message() {
    const responseStatus = { code: UNKNOWN, message: 'test status message' };
    const { status } = await ask(test, 'UnaryCall', { responseStatus });
    assert.deepEqual([status.code, status.details], [UNKNOWN, 'test status message']);
    const stream = test.FullDuplexCall(soon());
    const ended = rest(stream);
    stream.end({ responseStatus });
    const { status: last } = await ended;
    assert.deepEqual([last.code, last.details], [UNKNOWN, 'test status message']);
  },
  async special_status_message() {
    const { status } = await ask(test, 'UnaryCall', { responseStatus: { code: UNKNOWN, message: SPECIAL } });
    assert.deepEqual([status.code, status.details], [UNKNOWN, SPECIAL]);
  },
  async unimplemented_method() {
    assert.equal((await ask(test, 'UnimplementedCall', {})).status.code, UNIMPLEMENTED);
  },
  async unimplemented_service() {
    assert.equal((await ask(nobody, 'UnimplementedCall', {})).status.code, UNIMPLEMENTED);
  },
  async cancel_after_begin() {
    const [metadata, cancelled] = named();
    const ended = ask(test, 'StreamingInputCall', undefined, metadata);
    const call = ask.last;
    call.write({ payload: payload(8) });
    // Something must have gone, or there is nothing that the server could be told of.
    await sleep(100);
    call.cancel();
    assert.equal((await ended).status.code, CANCELLED);
    await cancelled();
  },
  async cancel_after_first_response() {
    const [metadata, cancelled] = named();
    const stream = test.FullDuplexCall(metadata, soon());
    const [ended, first] = [rest(stream), next(stream)];
    stream.write(question(27182, 31415));
    assert.equal((await first).payload.body.length, 31415);
    stream.cancel();
    assert.equal((await ended).status.code, CANCELLED);
    await cancelled();
  },
  async timeout_on_sleeping_server() {
    const stream = test.FullDuplexCall({ deadline: Date.now() + 1 });
    stream.write({ payload: payload(27182) });
    assert.equal((await rest(stream)).status.code, DEADLINE_EXCEEDED);
  },
  // As the one before, long enough for the call to get there.
  async deadline_reaches_the_server() {
    const [metadata, cancelled] = named();
    const stream = test.FullDuplexCall(metadata, { deadline: Date.now() + 500 });
    const [ended, first] = [rest(stream), next(stream)];
    stream.write(question(27182, 31415));
    assert.equal((await first).payload.body.length, 31415);
    assert.equal((await ended).status.code, DEADLINE_EXCEEDED);
    await cancelled();
  },
});
process.exit(0);
