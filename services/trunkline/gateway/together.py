"""Several pieces of work at once, of which the first error ends all."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All results. The first error is raised, and what is not done then is cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def few_together(work: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """The same, of work that is begun here, so much of it at a time."""
    places = asyncio.Semaphore(at_once)

    async def one(begin: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await begin()

    return await together(*map(one, work))
