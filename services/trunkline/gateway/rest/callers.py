"""The connections of the HTTP port: how many there are at most, and which one goes where there are more."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from typing import Protocol

from trunkline.serving.budget import ByteBudget

# gRPC, files, databases and the models need descriptors as well.
_SHARE_OF_DESCRIPTORS = 8
_FEWEST, _MOST = 8, 1024
_LOOK_EVERY_S = 1.0
_UNDER_PRESSURE = 0.5


class Caller(Protocol):
    """A connection as this module sees it."""

    def look(self, now: float) -> None:
        """End what has kept this side waiting for too long."""

    def give_place(self) -> None:
        """End now, for another."""

    def abort(self) -> None:
        """End without a word."""


class Callers:
    """For the event loop alone."""

    def __init__(self, budget: ByteBudget, limit: int | None = None) -> None:
        self.limit = limit or most_connections()
        self._budget = budget
        self._open: set[Caller] = set()
        self._waited_for: dict[Caller, None] = {}  # who has kept this side waiting for the longest comes first

    @property
    def under_pressure(self) -> bool:
        """Whether requests hold so much memory that who is slow costs others their place."""
        return self._budget.held_bytes > _UNDER_PRESSURE * self._budget.limit_bytes

    def add(self, caller: Caller) -> bool:
        """Whether there is a place. Where none is free, the one goes that was waited for the longest."""
        if len(self._open) >= self.limit:
            longest = next(iter(self._waited_for), None)
            if longest is None:
                return False
            self.remove(longest)
            longest.give_place()
        self._open.add(caller)
        self._waited_for[caller] = None
        return True

    def remove(self, caller: Caller) -> None:
        """It has ended, or is about to."""
        self._open.discard(caller)
        self._waited_for.pop(caller, None)

    def waits(self, caller: Caller) -> None:
        """From now on this side waits for the caller."""
        self.works(caller)
        if caller in self._open:
            self._waited_for[caller] = None

    def works(self, caller: Caller) -> None:
        """The caller waits for this side."""
        self._waited_for.pop(caller, None)

    async def watch(self) -> None:
        """Look at each of them now and then, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for caller in list(self._open):
                caller.look(loop.time())

    def abort(self) -> None:
        """End all that are left."""
        for caller in list(self._open):
            caller.abort()


@contextlib.asynccontextmanager
async def watched(callers: Callers) -> AsyncIterator[None]:
    """Watch them meanwhile, and end at last those that are left."""
    watching = asyncio.create_task(callers.watch())
    try:
        yield
    finally:
        watching.cancel()
        callers.abort()


def most_connections() -> int:
    """A share of the files that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(_FEWEST, min(_MOST, soft // _SHARE_OF_DESCRIPTORS))
