"""Memory that the requests of a process hold, and the limit on it."""

import asyncio
from types import TracebackType
from typing import Self

from trunkline.core.errors import MemoryFullError

# Requests up to this size may use the whole budget, larger ones five eighths of it: large pictures that wait for
# their turn leave room for the calls of everybody else.
SMALL_BYTES = 4 * 1024 * 1024
COPIES = 3  # of a request over gRPC: its bytes, the message, and what the message gives out
_SHARE_OF_LARGE = 0.625
_RETRY_AFTER_S = 0.5
_LOOK_S = 0.05


class ByteBudget:
    """The budget of one process. For the event loop alone: nothing here is locked."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    async def room(self) -> None:
        """Wait until no more than half is held: for who can hold back, as one who reads a stream."""
        while self.held_bytes > self.limit_bytes // 2:  # noqa: ASYNC110  an event would cost every call
            await asyncio.sleep(_LOOK_S)

    async def hold_in_time(self, count: int) -> "Hold":
        """Hold `count` bytes as soon as they fit."""
        while True:
            try:
                return self.hold(count)
            except MemoryFullError:
                await asyncio.sleep(_LOOK_S)

    def hold(self, count: int = 0) -> "Hold":
        """Hold `count` bytes until the hold is released. Raises MemoryFullError where they do not fit."""
        held = Hold(self)
        held.add(count)
        return held


class Hold:
    """The bytes of one request. A context manager; `release` may be called twice."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.count = 0

    def add(self, count: int) -> None:
        """Hold `count` bytes more. Raises MemoryFullError where they do not fit; what was held stays held."""
        budget = self._budget
        is_small = self.count + count <= SMALL_BYTES
        limit = budget.limit_bytes if is_small else int(budget.limit_bytes * _SHARE_OF_LARGE)
        # One request alone may be larger than its share: who has the process to himself is served.
        if budget.held_bytes + count > limit and budget.held_bytes > self.count:
            raise MemoryFullError(
                f"requests hold {budget.held_bytes} bytes of {budget.limit_bytes}: try again in {_RETRY_AFTER_S} s, "
                "or raise TRUNKLINE_REQUEST_MEMORY_MIB",
                retry_after_s=_RETRY_AFTER_S,
                limit_bytes=budget.limit_bytes,
            )
        self.count += count
        budget.held_bytes += count

    def release(self) -> None:
        """Give all bytes of this request back."""
        self._budget.held_bytes -= self.count
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
