"""Memory of large bodies goes back to the system once they have gone; the allocator alone would keep it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from trunkline.serving.memory import give_back_freed

# It takes some milliseconds, and what is given back must be asked for again.
_MUCH_BYTES = 8 * 1024 * 1024
_EVERY_S = 5.0


class GivingBack:
    """For the event loop alone."""

    def __init__(self) -> None:
        self._bytes = 0

    def went(self, count: int) -> None:
        """So many bytes of a request were held, and its answer has left."""
        self._bytes += count

    async def watch(self) -> None:
        """Give back what went now and then, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._bytes >= _MUCH_BYTES:
                self._bytes = 0
                await asyncio.to_thread(give_back_freed)


@contextlib.asynccontextmanager
async def giving_back() -> AsyncIterator[GivingBack]:
    """Does so meanwhile."""
    back = GivingBack()
    watching = asyncio.create_task(back.watch())
    try:
        yield back
    finally:
        watching.cancel()
