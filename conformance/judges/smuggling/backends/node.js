// What the back end on Node answers: which request it saw. `SEEN` names the file that it writes a line to for each.
"use strict";
const { createHash } = require("node:crypto");
const { appendFileSync } = require("node:fs");
const { createServer } = require("node:http");

function note(request, body, whole) {
  const length = body === null ? null : body.length;
  const sha256 = body === null ? null : createHash("sha256").update(body).digest("hex");
  appendFileSync(process.env.SEEN, `${JSON.stringify({ method: request.method, path: request.url, length, sha256, whole })}\n`);
}

const server = createServer((request, response) => {
  const answer = (body) => {
    note(request, body, true);
    const saw = `${request.method} ${request.url}`;
    response.writeHead(200, { "X-Saw": saw, "Content-Length": Buffer.byteLength(saw) });
    response.end(saw);
  };
  // A path with `/unread` is answered without a look at the body.
  if (request.url.includes("/unread")) return answer(null);
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => answer(Buffer.concat(pieces)));
  request.on("error", () => note(request, Buffer.concat(pieces), false));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
