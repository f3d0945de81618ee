"""Cases in which a client does what that of `websockets` would not: its frames are made one by one, over a bare socket."""

import asyncio
import base64
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from websockets.frames import Opcode

from judges.outcome import same
from judges.websocket_cases import Case, Place, how

#: Codes that no frame may carry.
INVALID_CODES = (0, 999, 1004, 1005, 1006, 1016, 2999, 5000)
UTF8 = "κόσμε 한국".encode()


def frame(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """A masked frame, legal or not."""
    first = bytes([(0x80 if fin else 0) | opcode])
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    mask = b"\x37\xfa\x21\x3d"
    return first + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


class Raw:
    """A connection after its handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, opcode: int, data: bytes, *, fin: bool = True) -> None:
        self.writer.write(frame(opcode, data, fin=fin))
        await self.writer.drain()

    async def next(self) -> tuple[int, bytes]:
        """The next frame: its opcode and what is in it."""
        first, second = await self.reader.readexactly(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(length)

    async def code(self) -> int:
        """That of the close frame that comes next; 1005 where it has none."""
        opcode, data = await self.next()
        same(opcode, int(Opcode.CLOSE), "opcode")
        return struct.unpack("!H", data[:2])[0] if data else 1005


async def shake(place: Place, target: str) -> Raw:
    """A handshake by hand."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", place.port, ssl=place.context, server_hostname=place.host if place.context else None
    )
    key = base64.b64encode(uuid.uuid4().bytes).decode()
    lines = [f"GET {target} HTTP/1.1", f"Host: {place.host}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    same(head.split(b"\r\n", 1)[0].split(b" ")[1], b"101", "status")
    return Raw(reader, writer)


async def invalid_code(place: Place, code: int) -> None:
    raw = await shake(place, "/echo")
    await raw.send(Opcode.CLOSE, struct.pack("!H", code))
    same(await raw.code(), 1002, "the server's code")


async def close_without_code(place: Place) -> None:
    name = uuid.uuid4().hex
    raw = await shake(place, f"/echo?name={name}")
    await raw.send(Opcode.CLOSE, b"")
    same(await raw.code(), 1005, "the server's code")
    same(await raw.reader.read(), b"", "after the close")
    raw.writer.close()
    same(await how(place, name), "1005 ", "what the server saw")


async def answered(place: Place, frames: list[tuple[int, bytes, bool]], code: int) -> None:
    """What breaks the protocol is the server's to refuse, whole and with its own code."""
    raw = await shake(place, "/echo")
    for opcode, data, fin in frames:
        await raw.send(opcode, data, fin=fin)
    same(await raw.code(), code, "the server's code")


async def utf8_by_the_byte(place: Place) -> None:
    """Fragments that cut characters."""
    raw = await shake(place, "/echo")
    for at in range(len(UTF8)):
        opcode = Opcode.CONT if at else Opcode.TEXT
        await raw.send(opcode, UTF8[at : at + 1], fin=at == len(UTF8) - 1)
    same(await raw.next(), (int(Opcode.TEXT), UTF8), "echo")


async def ping_inside_a_message(place: Place) -> None:
    raw = await shake(place, "/echo")
    await raw.send(Opcode.TEXT, b"one ", fin=False)
    await raw.send(Opcode.PING, b"now")
    same(await raw.next(), (int(Opcode.PONG), b"now"), "pong")
    await raw.send(Opcode.CONT, b"two")
    same(await raw.next(), (int(Opcode.TEXT), b"one two"), "echo")


async def frame_by_the_byte(place: Place) -> None:
    """A frame in as many writes as it has bytes."""
    raw = await shake(place, "/echo")
    raw.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in frame(Opcode.BINARY, b"slowly"):
        raw.writer.write(bytes([byte]))
        await raw.writer.drain()
        await asyncio.sleep(0.001)
    same(await raw.next(), (int(Opcode.BINARY), b"slowly"), "echo")


async def first_frame_with_the_handshake(place: Place) -> None:
    """A client that is sure of its server sends before the 101 is there; the proxy must neither lose nor read it."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", place.port, ssl=place.context, server_hostname=place.host if place.context else None
    )
    head = f"GET /echo HTTP/1.1\r\nHost: {place.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    writer.write(head.encode() + frame(Opcode.TEXT, b"early"))
    answer = await reader.readuntil(b"\r\n\r\n")
    same(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer, True, "the accept that RFC 6455 gives for this key is there")
    same(await Raw(reader, writer).next(), (int(Opcode.TEXT), b"early"), "echo")


async def gone(place: Place, how_it_goes: Callable[[Raw], Awaitable[None]]) -> None:
    """A client that goes without a word, in the middle of a frame: the server learns it at once."""
    name = uuid.uuid4().hex
    raw = await shake(place, f"/echo?name={name}")
    await raw.send(Opcode.TEXT, b"hello")
    same(await raw.next(), (int(Opcode.TEXT), b"hello"), "echo")
    raw.writer.write(b"\x81\xfe\xff\xffhalf")
    await raw.writer.drain()
    await how_it_goes(raw)
    same((await how(place, name)).split()[0], "none", "what the server saw")


async def fin(raw: Raw) -> None:
    raw.writer.close()


async def rst(raw: Raw) -> None:
    linger = struct.pack("ii", 1, 0)
    raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    raw.writer.transport.abort()


async def server_gone(place: Place, how_it_goes: str) -> None:
    """A server that goes in the middle of a frame: what it had sent may come, an end must."""
    raw = await shake(place, f"/abort?how={how_it_goes}")
    try:
        rest = await raw.reader.read()
    except ConnectionError:
        return
    if how_it_goes == "fin":
        same(rest, b"\x81\x7e\xff\xffhalf", "what had been sent")


async def half_closed(place: Place) -> None:
    """A client that ends its side of TCP after a whole message still gets what was on its way."""
    raw = await shake(place, "/many?n=200")
    if raw.writer.can_write_eof():
        await raw.send(Opcode.CLOSE, struct.pack("!H", 1000))
        raw.writer.write_eof()
    found = b""
    while (came := await raw.next())[0] == Opcode.TEXT:
        found += came[1] + b" "
    wanted = b"".join(b"%d " % number for number in range(200))
    same(wanted.startswith(found), True, "what came is the beginning of what was sent")
    same(came[0], int(Opcode.CLOSE), "the last frame")


CASES: dict[str, dict[str, Case]] = {
    "closes by hand": {
        **{f"code {code}": partial(invalid_code, code=code) for code in INVALID_CODES},
        "no code": close_without_code,
        "half a code": partial(answered, frames=[(Opcode.CLOSE, b"\x03", True)], code=1002),
        "a reason that is no UTF-8": partial(answered, frames=[(Opcode.CLOSE, b"\x03\xe8\xff", True)], code=1007),
    },
    "UTF-8": {
        "by the byte": utf8_by_the_byte,
        "invalid": partial(answered, frames=[(Opcode.TEXT, b"\xce\xba\xed\xa0\x80", True)], code=1007),
        "invalid over two frames": partial(
            answered, frames=[(Opcode.TEXT, b"\xf4", False), (Opcode.CONT, b"\x90\x80\x80", True)], code=1007
        ),
    },
    "frames by hand": {
        "a ping inside a message": ping_inside_a_message,
        "by the byte": frame_by_the_byte,
        "with the handshake": first_frame_with_the_handshake,
        "a continuation of nothing": partial(answered, frames=[(Opcode.CONT, b"x", True)], code=1002),
        "a fragmented ping": partial(answered, frames=[(Opcode.PING, b"x", False)], code=1002),
        "a ping too long": partial(answered, frames=[(Opcode.PING, bytes(126), True)], code=1002),
        "an opcode that is none": partial(answered, frames=[(3, b"x", True)], code=1002),
    },
    "ends": {
        "client, FIN": partial(gone, how_it_goes=fin),
        "client, RST": partial(gone, how_it_goes=rst),
        "server, FIN": partial(server_gone, how_it_goes="fin"),
        "server, RST": partial(server_gone, how_it_goes="rst"),
        "half closed": half_closed,
    },
}
