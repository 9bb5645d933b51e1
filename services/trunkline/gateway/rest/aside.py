"""Work on large bodies and answers, beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from trunkline.core.errors import QueueFullError

# Below it the hop to a thread costs more than the work.
SMALL_BYTES = 64 * 1024
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
        if size <= SMALL_BYTES:
            return work(*arguments)
        if self._waiting >= _MOST_WAITING:
            raise QueueFullError("too many large bodies wait to be read", retry_after_s=_RETRY_AFTER_S)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """What waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
