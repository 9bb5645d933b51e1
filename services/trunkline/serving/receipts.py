"""Requests that are being received: how long that may take, how many they may be, and how much memory they may take.

gRPC keeps what has arrived of a message to itself until it is whole, so nobody sees how large a half-sent one is.
What can be seen is the memory of the process: where it grows while requests are half received for a while, these end.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from trunkline.core.errors import DeadlineError, MemoryFullError, TrunklineError
from trunkline.serving.aside import aside
from trunkline.serving.budget import ByteBudget
from trunkline.serving.memory import give_back_freed, resident_bytes
from trunkline.serving.status import abort

LONGEST_S = 60.0  # until a request with one message is received
MOST = 1024  # that are received at a time and have taken longer than a moment
_MOMENT_S = 0.05
_LOOK_S, _IDLE_LOOK_S = 0.025, 0.1  # a local network brings 25 MB meanwhile
_GROWN_SHARE = 0.6  # of the budget, so that what arrives until the next look finds room
_KEPT_S = 2 * LONGEST_S  # how long readings of the memory are kept


@dataclass(eq=False)
class Receipt:
    """One message that is being read. `timed`: it has LONGEST_S; a stream may be silent for as long as it likes."""

    context: Any
    timed: bool
    began_at: float


@dataclass(frozen=True)
class _Reading:
    at: float
    resident_bytes: int
    held_bytes: int


class Receipts:
    """All of a process. What is over a limit ends with a status, the oldest first."""

    def __init__(self, budget: ByteBudget, resident: Callable[[], int] = resident_bytes) -> None:
        self._budget = budget
        self._resident = resident
        self._open: dict[Receipt, None] = {}  # in the order in which they began
        self._readings: deque[_Reading] = deque()
        self._ending: set[asyncio.Task[None]] = set()
        self._was_over = False
        self._watch: asyncio.Task[None] | None = None

    def begin(self, context: Any, *, timed: bool) -> Receipt:
        """A message of this call is read from now on."""
        receipt = Receipt(context, timed, time.monotonic())
        self._open[receipt] = None
        return receipt

    def end(self, receipt: Receipt) -> None:
        """It was read, or will not be. May be called twice."""
        self._open.pop(receipt, None)

    def start(self) -> None:
        """Look after receipts from now on; within the event loop."""
        self.look()
        self._watch = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S if self._open else _IDLE_LOOK_S)
            if self.look():
                await aside(give_back_freed)

    def look(self) -> bool:
        """End what is over a limit now. Whether memory was freed since the last look."""
        now = time.monotonic()
        reading = _Reading(now, self._resident(), self._budget.held_bytes)
        slow = [each for each in self._open if now - each.began_at > _MOMENT_S]
        self._end_late(slow, now)
        was_over = self._was_over
        # A stream may be open and silent for good reasons: it ends only where no other request can be meant.
        meant = [each for each in slow if each.timed] or [each for each in slow if now - each.began_at < _KEPT_S]
        most = int(self._budget.limit_bytes * _GROWN_SHARE)
        self._was_over = bool(meant) and self._grown_bytes(reading, meant[0].began_at) > most
        if self._was_over:
            self._free(meant)
        self._readings.append(reading)
        while self._readings[0].at < now - _KEPT_S:
            self._readings.popleft()
        return was_over

    def _end_late(self, slow: list[Receipt], now: float) -> None:
        for each in slow:
            if each.timed and now - each.began_at > LONGEST_S:
                self._abort(each, DeadlineError(f"the request was not received within {LONGEST_S:g} s"))
        timed = [each for each in slow if each.timed]
        for each in timed[: max(0, len(timed) - MOST)]:
            self._abort(each, _full(f"more than {MOST} requests are half received"))

    def _grown_bytes(self, reading: _Reading, since: float) -> int:
        """By how much the process grew since then, less what it holds for requests that it has received."""
        if not self._readings:
            return 0
        before = next((each for each in reversed(self._readings) if each.at <= since), self._readings[0])
        held = max(0, reading.held_bytes - before.held_bytes)
        return reading.resident_bytes - before.resident_bytes - held

    def _free(self, meant: list[Receipt]) -> None:
        """End the older half of them, and see at the next look whether that was enough."""
        for each in meant[: (len(meant) + 1) // 2]:
            self._abort(each, _full("requests that are half received take too much memory"))

    def _abort(self, receipt: Receipt, error: TrunklineError) -> None:
        if receipt in self._open:
            self.end(receipt)
            task = asyncio.create_task(_abort(receipt.context, error))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


async def _abort(context: Any, error: TrunklineError) -> None:
    # The call itself learns of it where it reads; it may also have ended in this moment.
    with contextlib.suppress(grpc.aio.AbortError, grpc.aio.UsageError, grpc.aio.InternalError):
        await abort(context, error)


def _full(reason: str) -> MemoryFullError:
    return MemoryFullError(f"{reason}: send it again, in one go", retry_after_s=1.0)
