// gRPC-Web, Connect and gRPC as Connect's clients speak them: `web.js URL DIALECT both|oneway`, which
// says whether the server takes streams that go both ways at once.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import * as node from '@connectrpc/connect-node';
import * as web from '@connectrpc/connect-web';
import { PATIENCE, run, until } from './cases.js';
import { TestService, Witness } from './schema.js';

const [baseUrl, dialect, streams] = process.argv.slice(2);
const h1 = { baseUrl, httpVersion: '1.1' };
const h2 = { baseUrl, httpVersion: '2' };

// By fetch as browsers do it, and by Node's own HTTP.
const DIALECTS = {
  'grpc-web fetch': () => web.createGrpcWebTransport({ baseUrl, useBinaryFormat: true }),
  'grpc-web h1': () => node.createGrpcWebTransport(h1),
  'grpc-web h2': () => node.createGrpcWebTransport(h2),
  'connect fetch json': () => web.createConnectTransport({ baseUrl, useBinaryFormat: false }),
  'connect fetch binary': () => web.createConnectTransport({ baseUrl, useBinaryFormat: true }),
  'connect h1': () => node.createConnectTransport({ ...h1, useBinaryFormat: true }),
  'connect h2': () => node.createConnectTransport({ ...h2, useBinaryFormat: true }),
  'grpc h2': () => node.createGrpcTransport(h2),
};

const transport = DIALECTS[dialect]();
const test = createClient(TestService, transport);
const witness = createClient(Witness, transport);

const REQUESTS = [27182, 8, 1828, 45904];
const ANSWERS = [31415, 9, 2653, 58979];
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \u{1f608}\t\n';
const INITIAL = 'x-grpc-test-echo-initial';
const TRAILING = 'x-grpc-test-echo-trailing-bin';

const payload = (size) => ({ body: new Uint8Array(size) });
const parameters = (sizes) => sizes.map((size) => ({ size }));

async function failure(call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof ConnectError, String(error));
    return [error.code, error.rawMessage];
  }
  throw new Error('the call did not fail');
}

async function sizes(answers) {
  const found = [];
  for await (const { payload } of answers) found.push(payload.body.length);
  return found;
}

// Options that send metadata, and a check that both kinds came back.
function echoes() {
  let [head, tail] = [];
  const headers = { [INITIAL]: 'test_initial_metadata_value', [TRAILING]: 'q6ur' };
  const options = { headers, onHeader: (said) => (head = said), onTrailer: (said) => (tail = said) };
  const came = () => {
    assert.equal(head.get(INITIAL), 'test_initial_metadata_value');
    assert.equal(tail.get(TRAILING)?.replace(/=+$/, ''), 'q6ur');
  };
  return [options, came];
}

async function* all(requests) {
  yield* requests;
}

// Requests that are asked for one at a time.
function questions() {
  const waiting = [];
  let wake = () => {};
  return {
    ask(request) {
      waiting.push(request);
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (waiting.length === 0) await new Promise((resolve) => (wake = resolve));
        const request = waiting.shift();
        if (request === null) return;
        yield request;
      }
    },
  };
}

const cases = {
  async empty_unary() {
    await test.emptyCall({});
  },
  async large_unary() {
    const answer = await test.unaryCall({ responseSize: 314159, payload: payload(271828) });
    assert.equal(answer.payload.body.length, 314159);
  },
  async server_streaming() {
    const call = test.streamingOutputCall({ responseParameters: parameters(ANSWERS) });
    assert.deepEqual(await sizes(call), ANSWERS);
  },
  async empty_stream() {
    assert.deepEqual(await sizes(test.streamingOutputCall({})), []);
  },
  async custom_metadata() {
    const [options, came] = echoes();
    await test.unaryCall({ responseSize: 8 }, options);
    came();
  },
  async status_code_and_message() {
    const responseStatus = { code: Code.Unknown, message: 'test status message' };
    const found = await failure(() => test.unaryCall({ responseStatus }));
    assert.deepEqual(found, [Code.Unknown, 'test status message']);
  },
  async special_status_message() {
    const responseStatus = { code: Code.Unknown, message: SPECIAL };
    assert.deepEqual(await failure(() => test.unaryCall({ responseStatus })), [Code.Unknown, SPECIAL]);
  },
  async unimplemented_method() {
    const [code] = await failure(() => test.unimplementedCall({}));
    assert.equal(code, Code.Unimplemented);
  },
  async timeout_on_sleeping_server() {
    const responseParameters = [{ size: 9, intervalUs: 2_000_000 }];
    const [code] = await failure(() =>
      sizes(test.streamingOutputCall({ responseParameters }, { timeoutMs: 300 })),
    );
    assert.equal(code, Code.DeadlineExceeded);
  },
  // The first answer must be there before the second is made: nobody on the way may collect them.
  async cancel_after_first_response() {
    const [name, abort] = [randomUUID(), new AbortController()];
    const options = { headers: { 'x-judge-call': name }, signal: abort.signal };
    const responseParameters = [{ size: 9 }, { size: 9, intervalUs: 30_000_000 }, { size: 9 }];
    const answers = test.streamingOutputCall({ responseParameters }, options)[Symbol.asyncIterator]();
    await answers.next();
    abort.abort();
    assert.equal((await failure(() => answers.next()))[0], Code.Canceled);
    const cancelled = async () => (await witness.look({ name })).over;
    await until('the server was not told that the call is over', cancelled);
  },
};

// What fetch cannot do: streams of the client.
const upward = {
  async client_streaming() {
    const { aggregatedPayloadSize } = await test.streamingInputCall(
      all(REQUESTS.map((size) => ({ payload: payload(size) }))),
    );
    assert.equal(aggregatedPayloadSize, 74922);
  },
};

// What needs HTTP/2.
const full = {
  async ping_pong() {
    const asked = questions();
    const [options, came] = echoes();
    const answers = test.fullDuplexCall(asked, options)[Symbol.asyncIterator]();
    for (const [at, size] of REQUESTS.entries()) {
      asked.ask({ responseParameters: parameters([ANSWERS[at]]), payload: payload(size) });
      assert.equal((await answers.next()).value.payload.body.length, ANSWERS[at]);
    }
    asked.ask(null);
    assert((await answers.next()).done);
    came();
  },
};

const more = dialect.includes('fetch') ? {} : upward;
await run({ ...cases, ...more, ...(dialect.endsWith('h2') && streams === 'both' ? full : {}) });
process.exit(0);
