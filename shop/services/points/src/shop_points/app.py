"""The three handlers, and what every request goes through."""

from http import HTTPStatus

from ondol import Context, subscribe
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shop_points import problem
from shop_points.logs import trace_id
from shop_points.order import CONFIRMED, ConfirmedOrder, NotForPoints
from shop_points.problem import Problem
from shop_points.worker import Busy, Worker

#: The subscription that the manifest declares.
SUBSCRIPTION = "points.orders"

#: Longest body, in bytes. The largest order there can be is a tenth of it.
MAX_BODY = 64 * 1024


def create(writer: Worker, reader: Worker) -> Starlette:
    """The service over its ledger."""

    async def push(request: Request) -> Response:
        event = await _read_push(request)
        try:
            order = ConfirmedOrder.from_event(event.event)
        except NotForPoints as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not_for_points", str(error)) from error
        await writer.do(lambda ledger: ledger.award(event.subscription, event.event.id, order))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def balance(request: Request) -> Response:
        customer = _customer(request)
        return JSONResponse({"balance": await reader.do(lambda ledger: ledger.balance(customer))})

    async def totals(_: Request) -> Response:
        return JSONResponse(await reader.do(lambda ledger: ledger.totals()))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/api/points", balance),
            Route("/internal/events", push, methods=["POST"]),
            Route("/internal/totals", totals),
            Route("/health", health),
        ],
        middleware=[Middleware(Boundary)],
        exception_handlers={Problem: problem.answer, HTTPException: problem.answer, Busy: problem.answer},
    )


class Boundary:
    """Every request runs inside its trace, and whatever escapes a handler is answered as a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        traceparent = Context.from_headers(Request(scope).headers).traceparent
        token = trace_id.set(traceparent.split("-")[1] if traceparent else "")
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            pass  # Nobody is there to be told.
        except Exception as error:
            await problem.of(error).response()(scope, receive, send)
        finally:
            trace_id.reset(token)


async def _read_push(request: Request) -> subscribe.Push:
    try:
        push = subscribe.read(request.headers, await _body(request), SUBSCRIPTION)
    except subscribe.BadRequest as error:
        raise Problem(HTTPStatus(error.status), "bad_push", str(error)) from error
    if push.event.type != CONFIRMED:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown_type", f"This path takes {CONFIRMED} only")
    return push


async def _body(request: Request) -> bytes:
    """The body, of which never more than the bound is kept."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"A body has at most {MAX_BODY} bytes")
    return bytes(body)


def _customer(request: Request) -> str:
    """Who asks, as the gateway has verified it: it removes every `Ondol-*` header from outside."""
    subject = request.headers.get("ondol-subject", "").strip()
    if not subject:
        raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", "Sign in first")
    return subject
