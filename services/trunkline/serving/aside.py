"""Work of milliseconds that would keep the event loop from everybody else: parsing, converting, hashing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from trunkline.core.errors import QueueFullError

LARGE_BYTES = 64 * 1024  # what handles more is no work for the event loop
_MOST_WAITING = 64
_RETRY_AFTER_S = 1.0
T = TypeVar("T")


class Aside:
    """One thread: the work is Python, so that a second one would only take the GIL from the event loop."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, size: int, work: Callable[..., T], *arguments: object) -> T:
        """work(*arguments), here where it is about few bytes. Raises QueueFullError where much waits already."""
        if size <= LARGE_BYTES:
            return work(*arguments)
        if self._waiting >= _MOST_WAITING:
            raise QueueFullError("too many large requests wait to be read", retry_after_s=_RETRY_AFTER_S)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """What waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)


_THREADS = ThreadPoolExecutor(2, "aside")


async def aside(work: Callable[..., T], *arguments: object) -> T:
    """work(*arguments) on a thread of the process, for what takes longer than the way there and back, some 0.1 ms."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
