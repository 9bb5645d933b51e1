"""Work of milliseconds that would keep the event loop from everybody else: parsing, converting, hashing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

LARGE_BYTES = 64 * 1024  # what handles more is no work for the event loop
T = TypeVar("T")
# Few: it is short work that mostly holds the interpreter, and the cores are for models.
_THREADS = ThreadPoolExecutor(2, "aside")


async def aside(work: Callable[..., T], *arguments: object) -> T:
    """work(*arguments) on another thread, for what takes longer than the way there and back, some 0.1 ms."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
