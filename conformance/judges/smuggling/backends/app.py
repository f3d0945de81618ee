"""What every back end in Python answers: which request it saw. `SEEN` names the file that it writes a line to for each.

A path with `/unread` is answered without a look at the body.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

_SEEN = os.environ["SEEN"]
_PORT = int(os.environ.get("PORT", "0"))


def note(method: str, path: str, body: bytes | None, *, whole: bool = True) -> dict[str, str]:
    """Writes down what was seen, `None` for a body that was not looked at; the fields of the answer."""
    length, digest = (None, None) if body is None else (len(body), hashlib.sha256(body).hexdigest())
    line = {"method": method, "path": path, "length": length, "sha256": digest, "whole": whole}
    with open(_SEEN, "a", encoding="utf-8") as seen:  # noqa: PTH123 - one append of one line, whole among those of others.
        seen.write(json.dumps(line) + "\n")
    return {"X-Saw": f"{method} {path}", "Content-Type": "text/plain"}


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """For gunicorn, waitress, cheroot and gevent."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    method, path = environ["REQUEST_METHOD"], raw or environ["PATH_INFO"] + query
    # WSGI says where a body ends by its length, or by the end of the input where the server says that this is certain.
    length = environ.get("CONTENT_LENGTH")
    try:
        if "/unread" in path:
            body = None
        elif length or not environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(int(length or 0))
        else:
            body = environ["wsgi.input"].read()
    except Exception:
        note(method, path, b"", whole=False)
        raise
    whole = body is None or not length or len(body) == int(length)
    fields = note(method, path, body, whole=whole)
    answer = fields["X-Saw"].encode()
    start("200 OK", [*fields.items(), ("Content-Length", str(len(answer)))])
    # Not every server keeps the body of an answer to HEAD back.
    return [] if method == "HEAD" else [answer]


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """For uvicorn, hypercorn and granian."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").split("?")[0] + query
    body: bytes | None = b""
    if "/unread" in path:
        body = None
    else:
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                note(scope["method"], path, body, whole=False)
                return
            body = (body or b"") + message.get("body", b"")
            more = message.get("more_body", False)
    fields = note(scope["method"], path, body)
    answer = fields["X-Saw"].encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    headers.append((b"content-length", str(len(answer)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def serve_aiohttp() -> None:
    """The server of aiohttp."""
    from aiohttp import web  # noqa: PLC0415 - one server's packages are not another's need.

    async def handle(request: web.Request) -> web.Response:
        try:
            body = None if "/unread" in request.raw_path else await request.read()
        except BaseException:
            note(request.method, request.raw_path, b"", whole=False)
            raise
        fields = note(request.method, request.raw_path, body)
        return web.Response(headers=fields, body=fields["X-Saw"].encode())

    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{tail:.*}", handle)
    web.run_app(app, host="127.0.0.1", port=_PORT, access_log=None, print=None)


def serve_tornado() -> None:
    """The server of Tornado; it hands a request over when its body is whole."""
    from tornado import httpserver, httputil  # noqa: PLC0415

    def handle(request: httputil.HTTPServerRequest) -> None:
        fields = note(request.method or "", request.uri or "", request.body)
        answer = fields["X-Saw"].encode()
        headers = httputil.HTTPHeaders({**fields, "Content-Length": str(len(answer))})
        connection = request.connection
        assert connection is not None
        content = b"" if request.method == "HEAD" else answer
        connection.write_headers(httputil.ResponseStartLine("HTTP/1.1", 200, "OK"), headers, content)
        connection.finish()

    async def main() -> None:
        httpserver.HTTPServer(handle).listen(_PORT, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(main())


def serve_cheroot() -> None:
    """The server of CherryPy."""
    from cheroot import wsgi as cheroot  # noqa: PLC0415

    cheroot.Server(("127.0.0.1", _PORT), wsgi).start()


def serve_gevent() -> None:
    """The server of gevent."""
    from gevent import pywsgi  # noqa: PLC0415

    pywsgi.WSGIServer(("127.0.0.1", _PORT), wsgi, log=None).serve_forever()
