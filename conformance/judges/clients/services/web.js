// What curl and h2load ask for, on the port that PORT says, by Node's own HTTP: `web.js [h2c]`, else HTTP/1.1.
import { createHash } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';

const TEXT = 'The floor of the house is warm.\n'.repeat(64);
const BLOCK = Buffer.alloc(1 << 16, 'ondol');

const does = {
  '/hello': (_request, answer) => answer.end('hello\n'),
  // Ranges of one text.
  '/text'(request, answer) {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (range === null) return answer.writeHead(200, { 'content-length': TEXT.length }).end(TEXT);
    const [first, last] = [Number(range[1]), Number(range[2])];
    const part = TEXT.slice(first, last + 1);
    const fields = {
      'content-range': `bytes ${first}-${last}/${TEXT.length}`,
      'content-length': part.length,
    };
    return answer.writeHead(206, fields).end(part);
  },
  // The hash and the length of what was sent.
  '/hash'(request, answer) {
    const hash = createHash('sha256');
    let size = 0;
    request.on('data', (piece) => {
      hash.update(piece);
      size += piece.length;
    });
    request.on('end', () => answer.end(`${hash.digest('hex')} ${size}\n`));
  },
  // `n` blocks of 64 KiB, with a length or, where `chunked` is asked for, without.
  '/blocks'(_request, answer, query) {
    let left = Number(query.get('n'));
    if (!query.has('chunked')) answer.setHeader('content-length', left * BLOCK.length);
    const more = () => {
      while (left > 0) {
        left -= 1;
        if (!answer.write(BLOCK)) return answer.once('drain', more);
      }
      return answer.end();
    };
    more();
  },
  // Once all of the request is there: an answer before that is `/refused`.
  '/moved'(request, answer, query) {
    request.resume();
    request.on('end', () => answer.writeHead(Number(query.get('status')), { location: '/seen' }).end());
  },
  // Method, fields and body of the request.
  '/seen'(request, answer) {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const { method, httpVersion, headers } = request;
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify({ method, httpVersion, headers, body: Buffer.concat(pieces).toString() }));
    });
  },
  '/cookies'(_request, answer) {
    answer.writeHead(200, { 'set-cookie': ['a=1; Path=/', 'b=2; Path=/; HttpOnly'] }).end('set\n');
  },
  '/trailers'(_request, answer) {
    answer.setHeader('trailer', 'x-sum, x-other');
    answer.write('body\n');
    answer.addTrailers({ 'x-sum': '17', 'x-other': 'last' });
    answer.end();
  },
  // Never ends; `/gone` says whether it was given up.
  '/hang'(_request, answer, query) {
    answer.on('close', () => gone.add(query.get('name')));
    answer.write('first\n');
  },
  '/gone': (_request, answer, query) => answer.end(`${gone.has(query.get('name'))}\n`),
  '/empty': (_request, answer) => answer.writeHead(204).end(),
  '/status': (_request, answer, query) => answer.writeHead(Number(query.get('status'))).end('as asked\n'),
  '/refused': (_request, answer) => answer.writeHead(403).end('no\n'),
};

// Names of requests whose clients went away; as many as a run of the judges makes, and no more.
const gone = new Set();

const handle = (request, answer) => {
  // Node's HTTP/2 takes no body here, and its HTTP/1.1 drops one.
  if (request.method === 'HEAD') return answer.writeHead(200, { 'content-length': TEXT.length }).end();
  const { pathname, searchParams } = new URL(request.url, 'http://web.test');
  const doing = does[pathname];
  if (doing === undefined) return answer.writeHead(404).end('not here\n');
  return doing(request, answer, searchParams);
};

const server = (process.argv[2] === 'h2c' ? http2 : http).createServer(handle);
// With a 100 only where the body is wanted, so that a refusal in its place is seen as well.
server.on('checkContinue', (request, answer) => {
  if (!request.url.startsWith('/refused')) answer.writeContinue();
  handle(request, answer);
});
server.listen(Number(process.env.PORT), '127.0.0.1');
