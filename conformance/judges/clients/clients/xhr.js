// gRPC-Web as gRPC's own client for browsers speaks it, over XMLHttpRequest: `xhr.js URL text|binary`. In bytes it takes no streams.
import assert from 'node:assert/strict';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import grpcWeb from 'grpc-web';
import XMLHttpRequest from 'xhr2';
import { run } from './cases.js';
import { TestService } from './schema.js';

const { GrpcWebClientBase, MethodDescriptor, MethodType, StatusCode } = grpcWeb;
const [url, format] = process.argv.slice(2);
globalThis.XMLHttpRequest = XMLHttpRequest;
const client = new GrpcWebClientBase({ format });

const ANSWERS = [31415, 9, 2653, 58979];
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \u{1f608}\t\n';
const INITIAL = 'x-grpc-test-echo-initial';
const TRAILING = 'x-grpc-test-echo-trailing-bin';

const payload = (size) => ({ body: new Uint8Array(size) });

// Begins a call; what came of it, once it is over: answers, metadata in front, status.
function ask(name, request, metadata = {}) {
  const { input, output, methodKind } = TestService.methods.find((method) => method.name === name);
  const streams = methodKind === 'server_streaming';
  const path = `${url}/${TestService.typeName}/${name}`;
  const descriptor = new MethodDescriptor(
    `/${TestService.typeName}/${name}`,
    streams ? MethodType.SERVER_STREAMING : MethodType.UNARY,
    Object,
    Object,
    (message) => toBinary(input, message),
    (bytes) => fromBinary(output, bytes),
  );
  return new Promise((resolve) => {
    const found = { answers: [], head: {} };
    const asked = create(input, request);
    const over = (status) => resolve({ ...found, status });
    if (!streams) {
      const call = client.rpcCall(path, asked, metadata, descriptor, (error, answer) => {
        if (error) return over(error);
        found.answers.push(answer);
        return over(found.said);
      });
      call.on('metadata', (head) => (found.head = head));
      call.on('status', (status) => (found.said = status)); // Before the answer is given.
      return;
    }
    const call = client.serverStreaming(path, asked, metadata, descriptor);
    call.on('metadata', (head) => (found.head = head));
    call.on('data', (answer) => found.answers.push(answer.payload.body.length));
    call.on('error', over);
    call.on('status', (status) => (found.said = status));
    // Of a status in the head it tells only what is not OK.
    call.on('end', () => over(found.said ?? { code: StatusCode.OK }));
  });
}

async function failure(...words) {
  const { status } = await ask(...words);
  return [status.code, status.message ?? status.details];
}

const cases = {
  async empty_unary() {
    assert.equal((await ask('EmptyCall', {})).answers.length, 1);
  },
  async large_unary() {
    const { answers } = await ask('UnaryCall', { responseSize: 314159, payload: payload(271828) });
    assert.equal(answers[0].payload.body.length, 314159);
  },
  async custom_metadata() {
    const metadata = { [INITIAL]: 'test_initial_metadata_value', [TRAILING]: 'q6ur' };
    const { head, status } = await ask('UnaryCall', { responseSize: 8 }, metadata);
    assert.equal(head[INITIAL], 'test_initial_metadata_value');
    assert.equal(status.metadata[TRAILING]?.replace(/=+$/, ''), 'q6ur');
  },
  async status_code_and_message() {
    const responseStatus = { code: StatusCode.UNKNOWN, message: 'test status message' };
    const found = await failure('UnaryCall', { responseStatus });
    assert.deepEqual(found, [StatusCode.UNKNOWN, 'test status message']);
  },
  async special_status_message() {
    const responseStatus = { code: StatusCode.UNKNOWN, message: SPECIAL };
    assert.deepEqual(await failure('UnaryCall', { responseStatus }), [StatusCode.UNKNOWN, SPECIAL]);
  },
  async unimplemented_method() {
    assert.equal((await failure('UnimplementedCall', {}))[0], StatusCode.UNIMPLEMENTED);
  },
};

const streaming = {
  async server_streaming() {
    const responseParameters = ANSWERS.map((size) => ({ size }));
    const { answers, status } = await ask('StreamingOutputCall', { responseParameters });
    assert.deepEqual([answers, status.code], [ANSWERS, StatusCode.OK]);
  },
  async empty_stream() {
    const { answers, status } = await ask('StreamingOutputCall', {});
    assert.deepEqual([answers, status.code], [[], StatusCode.OK]);
  },
  async timeout_on_sleeping_server() {
    const responseParameters = [{ size: 9, intervalUs: 2_000_000 }];
    const metadata = { deadline: String(Date.now() + 300) };
    const [code] = await failure('StreamingOutputCall', { responseParameters }, metadata);
    assert.equal(code, StatusCode.DEADLINE_EXCEEDED);
  },
};

await run(format === 'text' ? { ...cases, ...streaming } : cases);
process.exit(0);
