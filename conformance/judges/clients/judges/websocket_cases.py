"""Cases by the client of `websockets`; what the paths do stands in `services/sockets.py`."""

import asyncio
import random
import ssl
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from judges.outcome import Wrong, same

#: Where a length needs another form of the frame, and around the buffers of proxies. Bytes.
SIZES = (0, 1, 125, 126, 127, 128, 4096, 16383, 16384, 16385, 65535, 65536, 65537, 131072, 1 << 20)
#: Those that may be sent: of the protocol, of registries, and private ones.
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)


@dataclass(frozen=True)
class Place:
    """Where the server is reached."""

    port: int
    host: str
    context: ssl.SSLContext | None

    def open(self, path: str, query: dict[str, object] | None = None, **options: Any) -> connect:
        """A connection; without compression and keep-alive pings unless the case asks for them."""
        scheme = "wss" if self.context else "ws"
        target = path + (f"?{urlencode(query)}" if query else "")
        options = {"compression": None, "ping_interval": None, "max_size": 1 << 26, "proxy": None, **options}
        return connect(
            f"{scheme}://{self.host}:{self.port}{target}",
            host="127.0.0.1",
            port=self.port,
            ssl=self.context,
            **options,
        )


Case = Callable[[Place], Awaitable[None]]


async def text(place: Place, size: int) -> None:
    async with place.open("/echo") as connection:
        message = "온돌~"[: size % 4] + "a" * (size - len("온돌~"[: size % 4]))
        await connection.send(message)
        same(await connection.recv(), message, "echo")


async def binary(place: Place, size: int) -> None:
    async with place.open("/echo") as connection:
        message = random.Random(size).randbytes(size)  # A seed: the same bytes in every run.
        await connection.send(message)
        same(await connection.recv(), message, "echo")


async def fragments_up(place: Place) -> None:
    async with place.open("/echo") as connection:
        for pieces in ([b"", b"a", b""], [b"x" * 125, b"y" * 65536, b"z"], [b"q"] * 500):
            await connection.send(pieces)
            same(await connection.recv(), b"".join(pieces), "echo")


async def fragments_down(place: Place) -> None:
    for size in (1, 7, 1000):
        async with place.open("/pieces", {"size": size}) as connection:
            message = "조각" * 1000
            await connection.send(message)
            pieces = [piece async for piece in connection.recv_streaming()]
            same("".join(map(str, pieces)), message, "the pieces together")
            if len(pieces) < len(message) // size:
                raise Wrong(f"{len(pieces)} pieces came of {len(message) // size}")


async def ping(place: Place, payload: bytes) -> None:
    async with place.open("/echo") as connection:
        await (await connection.ping(payload))
        await connection.send("still here")
        same(await connection.recv(), "still here", "echo")


async def ping_from_the_server(place: Place) -> None:
    async with place.open("/ping", {"payload": "are you there"}) as connection:
        same(await connection.recv(), "ponged", "what the server says")


async def pong_unasked(place: Place) -> None:
    async with place.open("/echo") as connection:
        await connection.pong(b"nobody asked")
        await connection.send("still here")
        same(await connection.recv(), "still here", "echo")


async def closed_by_the_client(place: Place, code: int, reason: str) -> None:
    name = uuid.uuid4().hex
    async with place.open("/echo", {"name": name}) as connection:
        await connection.close(code, reason)
        same(connection.close_code, code, "code that came back")
    same(await how(place, name), f"{code} {reason}", "what the server saw")


async def closed_by_the_server(place: Place, code: int, reason: str) -> None:
    async with place.open("/close", {"code": code, "reason": reason}) as connection:
        try:
            await connection.recv()
        except ConnectionClosed as closed:
            same(closed.rcvd and (closed.rcvd.code, closed.rcvd.reason), (code, reason), "what the client saw")
            return
    raise Wrong("the connection goes on")


async def how(place: Place, name: str) -> str:
    """How the connection of this name ended, by the server's word."""
    async with place.open("/ended", {"of": name}) as connection:
        return str(await connection.recv())


async def compressed(place: Place) -> None:
    async with place.open("/about", compression="deflate") as connection:
        same(await connection.recv(), "None permessage-deflate None", "what the server agreed to")
    async with place.open("/echo", compression="deflate") as connection:
        same([extension.name for extension in connection.protocol.extensions], ["permessage-deflate"], "extensions")
        for message in ("compress me " * 10_000, "", "가나다" * 5000):
            await connection.send(message)
            same(await connection.recv(), message, "echo")


async def not_compressed(place: Place) -> None:
    async with place.open("/about") as connection:
        same(await connection.recv(), "None  None", "what the server agreed to")


async def subprotocol(place: Place) -> None:
    wanted = [Subprotocol("superchat"), Subprotocol("chat")]
    async with place.open("/about", subprotocols=wanted, additional_headers={"X-Judge": "here"}) as connection:
        same(connection.subprotocol, "chat", "subprotocol")
        same(await connection.recv(), "chat  here", "what the server saw")


async def refused(place: Place) -> None:
    try:
        async with place.open("/nothing"):
            raise Wrong("there was a handshake")
    except InvalidStatus as error:
        same((error.response.status_code, error.response.body), (403, b"nothing here\n"), "the refusal")


async def in_order(place: Place) -> None:
    """A thousand up, a thousand down, at the same time."""
    async with place.open("/echo") as connection, asyncio.TaskGroup() as group:
        group.create_task(_send(connection, 1000))
        found = [await connection.recv() for _ in range(1000)]
        same(found, [str(number) for number in range(1000)], "messages")
    async with place.open("/many", {"n": 1000}) as connection:
        same([message async for message in connection], [str(number) for number in range(1000)], "messages from the server")


async def _send(connection: ClientConnection, count: int) -> None:
    for number in range(count):
        await connection.send(str(number))


async def at_once(place: Place) -> None:
    async def one(number: int) -> None:
        async with place.open("/echo") as connection:
            for size in (10, 1000, 100_000):
                message = bytes([number]) * size
                await connection.send(message)
                same(await connection.recv(), message, f"echo of connection {number}")

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(one(number))


async def large(place: Place) -> None:
    async with place.open("/count") as connection:
        await connection.send(bytes(16 << 20))
        same(await connection.recv(), str(16 << 20), "bytes that arrived")


CASES: dict[str, dict[str, Case]] = {
    "sizes": {
        **{f"text of {size}": partial(text, size=size) for size in SIZES},
        **{f"bytes of {size}": partial(binary, size=size) for size in SIZES},
        "16 MiB": large,
    },
    "fragments": {"up": fragments_up, "down": fragments_down},
    "pings": {
        **{f"ping of {size}": partial(ping, payload=bytes(range(size))) for size in (0, 1, 125)},
        "from the server": ping_from_the_server,
        "a pong that nobody asked for": pong_unasked,
    },
    "closes": {
        **{f"client says {code}": partial(closed_by_the_client, code=code, reason="because") for code in CODES},
        **{f"server says {code}": partial(closed_by_the_server, code=code, reason="because") for code in CODES},
        "client with the longest reason": partial(closed_by_the_client, code=1000, reason="끝" * 41),
        "server with the longest reason": partial(closed_by_the_server, code=1000, reason="끝" * 41),
    },
    "handshake": {
        "permessage-deflate": compressed,
        "nothing asked, nothing agreed": not_compressed,
        "subprotocol and fields": subprotocol,
        "refusal with its body": refused,
    },
    "many": {"in order": in_order, "fifty at once": at_once},
}
