"""The handlers, and what every request goes through."""

import json
import re
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


#: Awards of one page.
_MAX_PAGE = 1000

_ORDER = re.compile(r"[!-~]{1,200}")


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

    async def give(request: Request) -> Response:
        order, told = await _read_award(request)
        given = await writer.do(lambda ledger: ledger.give(told, order))
        return JSONResponse({"order": order.order, "given": given})

    async def awards(request: Request) -> Response:
        limit, after = _page(request)
        # One too many says that there is more.
        found = await reader.do(lambda ledger: ledger.awards(after, limit + 1))
        items = found[:limit]
        return JSONResponse({"items": items, "next": items[-1]["key"] if len(found) > limit else None})

    async def totals(_: Request) -> Response:
        return JSONResponse(await reader.do(lambda ledger: ledger.totals()))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/api/points", balance),
            Route("/internal/events", push, methods=["POST"]),
            Route("/internal/awards/{order}", give, methods=["PUT"]),
            Route("/internal/reconcile/awards", awards),
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


async def _read_award(request: Request) -> tuple[ConfirmedOrder, str]:
    """The order that a saga names, and the key under which it asks."""
    told, order = request.headers.get("idempotency-key", "").strip('"'), request.path_params["order"]
    if not told or not _ORDER.fullmatch(order):
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_award", "An award has an Idempotency-Key and an order's id")
    try:
        body = json.loads(await _body(request))
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_award", "The body is no JSON") from error
    try:
        return ConfirmedOrder.read(order, body), told
    except NotForPoints as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not_for_points", str(error)) from error


def _page(request: Request) -> tuple[int, str]:
    """How many items are asked for, and after which key."""
    text = request.query_params.get("limit", str(_MAX_PAGE))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 0
    if not 1 <= limit <= _MAX_PAGE:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_query", f"limit is a number from 1 to {_MAX_PAGE}")
    return limit, request.query_params.get("after", "")


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
