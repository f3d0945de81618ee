"""A ledger on a thread of its own, asked from asynchronous handlers: SQLite blocks, the event loop must not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shop_points.ledger import Ledger

#: Pieces of work that wait or run. Ondol pushes 16 keys at once; more is somebody's mistake, and is told to come later.
_MAX_WAITING = 64

T = TypeVar("T")


class Busy(Exception):
    """As much waits as may. Nothing was done."""


class Worker:
    """Does one piece of work after the other."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting = 0

    async def do(self, work: Callable[[Ledger], T]) -> T:
        """Its result. Raises `Busy`, and what the work raises. Work that has begun is done to its end."""
        if self._waiting >= _MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._ledger)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends after what waits."""
        self._thread.shutdown()
        self._ledger.close()
