"""WebSocket by `websockets`, client and server: what of RFC 6455 a proxy can get wrong, in the order of Autobahn's cases."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

from judges.outcome import Outcome, held
from judges.system import PATIENCE, System, Way
from judges.websocket_cases import CASES, Place
from judges.websocket_raw import CASES as RAW_CASES


def run(system: System) -> list[Outcome]:
    """All cases on every way."""
    return [outcome for way in system.ways("sockets") for outcome in _on(way, system)]


def _on(way: Way, system: System) -> list[Outcome]:
    context = ssl.create_default_context(cafile=str(system.certificate)) if way.tls else None
    place = Place(way.port, way.host, context)
    cases = {**CASES, **RAW_CASES}
    return [
        held(subject, name, way.name, partial(_within, case, place))
        for subject, group in cases.items()
        for name, case in group.items()
    ]


def _within(case: Callable[[Place], Awaitable[None]], place: Place) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE / 2):
            await case(place)

    asyncio.run(limited())
