"""WebSockets by `websockets`, on the port that PORT says: the path says what the server does.

The subprotocol `chat`, for those who offer it; permessage-deflate as the client asks for it.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

#: How each connection to `/close…` and `/echo` ended, by the name in its query: the client's code and reason.
ENDED: dict[str, str] = {}


async def echo(connection: ServerConnection, query: dict[str, str]) -> None:
    """Everything back as it came: text as text, bytes as bytes."""
    async for message in connection:
        await connection.send(message)


async def pieces(connection: ServerConnection, query: dict[str, str]) -> None:
    """Each message back in fragments of `size` characters or bytes."""
    size = int(query["size"])
    async for message in connection:
        await connection.send([message[at : at + size] for at in range(0, len(message), size)])


async def count(connection: ServerConnection, query: dict[str, str]) -> None:
    """The length of each message, for those too long to be sent twice."""
    async for message in connection:
        await connection.send(str(len(message)))


async def many(connection: ServerConnection, query: dict[str, str]) -> None:
    """The numbers below `n`, and the end."""
    for number in range(int(query["n"])):
        await connection.send(str(number))


async def ping(connection: ServerConnection, query: dict[str, str]) -> None:
    """Pings with a payload; says so once the pong with the same is there."""
    await (await connection.ping(query["payload"].encode()))
    await connection.send("ponged")


async def close(connection: ServerConnection, query: dict[str, str]) -> None:
    """Closes with `code` and `reason`."""
    await connection.close(int(query["code"]), query.get("reason", ""))


async def abort(connection: ServerConnection, query: dict[str, str]) -> None:
    """Ends the TCP connection in the middle of a frame: `how` is fin or rst."""
    raw = connection.transport
    raw.write(b"\x81\x7e\xff\xff" + b"half")
    if query["how"] == "rst":
        linger = struct.pack("ii", 1, 0)
        raw.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await asyncio.sleep(0.05)
        raw.abort()
    else:
        raw.close()


async def ended(connection: ServerConnection, query: dict[str, str]) -> None:
    """How the connection of this name ended, once it has."""
    while query["of"] not in ENDED:
        await asyncio.sleep(0.01)
    await connection.send(ENDED[query["of"]])


async def about(connection: ServerConnection, query: dict[str, str]) -> None:
    """What the handshake brought: subprotocol, extensions, and a field of the request."""
    assert connection.request is not None
    names = ",".join(extension.name for extension in connection.protocol.extensions)
    await connection.send(f"{connection.subprotocol} {names} {connection.request.headers.get('x-judge')}")


DOES: dict[str, Callable[[ServerConnection, dict[str, str]], Awaitable[None]]] = {
    "/echo": echo,
    "/pieces": pieces,
    "/count": count,
    "/many": many,
    "/ping": ping,
    "/close": close,
    "/abort": abort,
    "/ended": ended,
    "/about": about,
}


async def handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    target = urlsplit(connection.request.path)
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    try:
        await DOES[target.path](connection, query)
    except ConnectionClosed:
        pass
    finally:
        if (name := query.get("name")) is not None:
            await connection.wait_closed()
            protocol = connection.protocol
            received = protocol.close_rcvd
            ENDED[name] = f"{received.code} {received.reason}" if received else f"none {protocol.close_sent is not None}"


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    """No handshake where nothing is done."""
    if urlsplit(request.path).path in DOES:
        return None
    return connection.respond(HTTPStatus.FORBIDDEN, "nothing here\n")


def choose(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The only subprotocol here, if the client knows it."""
    return next((protocol for protocol in offered if protocol == "chat"), None)


async def main() -> None:
    options = {"max_size": 1 << 26, "ping_interval": None, "close_timeout": 5, "process_request": refuse}
    async with serve(handle, "127.0.0.1", int(os.environ["PORT"]), select_subprotocol=choose, **options) as server:  # type: ignore[arg-type]
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
