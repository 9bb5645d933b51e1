"""Requests that are being received: how long that may take, how many they may be, and how much memory they may take.

gRPC keeps what has arrived of a message to itself until it is whole, so nobody sees how large a half-sent one is.
What can be seen is the memory of the process. So few begin between two looks at it, none begins while it has grown,
and where it grows more while requests are half received for a while, these end.
"""

import asyncio
import bisect
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trunkline.core.errors import DeadlineError, MemoryFullError, TrunklineError
from trunkline.serving.aside import aside
from trunkline.serving.budget import ByteBudget
from trunkline.serving.memory import give_back_freed, resident_bytes
from trunkline.serving.senders import SMALL_BYTES, SmallSenders
from trunkline.serving.status import end_with
from trunkline.serving.turns import PATIENCE_S, Turns

LONGEST_S = 60.0  # until a request with one message is received
MOST = 1024  # that are received at a time and have taken longer than a moment
_MOMENT_S = 0.05
_LOOK_S, _IDLE_LOOK_S = 0.025, 0.1  # a local network brings 25 MB meanwhile
_WAITED_LOOK_S = 0.005
# Of the budget. Above the first only known senders of small messages begin one, above the second nobody, above the
# third some end: what is under way finds room beyond.
_CLOSED_SHARE, _ALL_CLOSED_SHARE, _GROWN_SHARE = 0.2, 0.4, 0.6
_LONGEST_CLOSED_S = 0.25
# A message comes slowly where the process grows by less a second, once some of it must have come.
_SLOW_BYTES_S, _YOUNG_S = 50e6, 0.01
# Of the budget, for what is under way. Methods whose messages are small have turns of their own, as health checks are
# among them, and so have senders of small messages. From others what may be large comes one at a time: gRPC copies
# each message three times on the event loop, and several at once keep it from everybody else.
_SMALL_SHARE, _KNOWN_SHARE, _ONE_AT_A_TIME = 0.125, 0.25, 0
_KEPT_S = 2 * LONGEST_S  # how long readings of the memory are kept


@dataclass(eq=False)
class Receipt:
    """One message that is being read. `timed`: it has LONGEST_S; a stream may be silent for as long as it likes."""

    context: Any
    timed: bool
    began_at: float
    peer: str
    turns: Turns
    most_bytes: int  # 0 as soon as it no longer counts there


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
        self._readings: list[_Reading] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._was_over = False
        self._closed_at = math.inf
        self._small = Turns(int(budget.limit_bytes * _SMALL_SHARE))
        self._known = Turns(int(budget.limit_bytes * _KNOWN_SHARE))
        self._large = Turns(_ONE_AT_A_TIME)
        self._small_senders = SmallSenders()
        self._watch: asyncio.Task[None] | None = None

    async def begin(self, context: Any, most_bytes: int, *, timed: bool) -> Receipt:
        """A message of this call, of at most `most_bytes`, is read from now on. Raises MemoryFullError."""
        peer = context.peer()
        turns = self._turns_of(peer, most_bytes)
        await turns.begin(most_bytes, peer, PATIENCE_S if timed else None)
        receipt = Receipt(context, timed, time.monotonic(), peer, turns, most_bytes)
        self._open[receipt] = None
        return receipt

    def received(self, receipt: Receipt, count: int) -> None:
        """The message has come, and has `count` bytes."""
        self._small_senders.sent(receipt.peer, count)

    def end(self, receipt: Receipt) -> None:
        """It was read, or will not be. May be called twice."""
        self._open.pop(receipt, None)
        self._settle(receipt)

    def _turns_of(self, peer: str, most_bytes: int) -> Turns:
        if most_bytes <= SMALL_BYTES:
            return self._small
        return self._known if peer in self._small_senders else self._large

    def _settle(self, receipt: Receipt) -> None:
        """What it takes is in the memory of the process, or was given back."""
        most_bytes, receipt.most_bytes = receipt.most_bytes, 0
        if most_bytes:
            receipt.turns.end(most_bytes)

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
            is_awaited = any(turns.is_awaited for turns in (self._large, self._known, self._small))
            await asyncio.sleep(_WAITED_LOOK_S if is_awaited else _LOOK_S if self._open else _IDLE_LOOK_S)
            if self.look():
                await aside(give_back_freed)

    def look(self) -> bool:
        """End what is over a limit now. Whether memory was freed since the last look."""
        now = time.monotonic()
        reading = _Reading(now, self._resident(), self._budget.held_bytes)
        self._end_late(now)
        grown = self._grown_bytes(reading, _meant(list(self._open), now))
        self._close_or_open(grown, self._flow_bytes_s(reading), now)
        was_over, self._was_over = self._was_over, False
        if grown > self._budget.limit_bytes * _GROWN_SHARE or now - self._closed_at > _LONGEST_CLOSED_S:
            self._free(_meant([each for each in self._open if now - each.began_at > _MOMENT_S], now))
        self._remember(reading)
        return was_over

    def _flow_bytes_s(self, reading: _Reading) -> float:
        """By how much the process grows, since the look before."""
        if not self._readings:
            return 0.0
        before = self._readings[-1]
        return (reading.resident_bytes - before.resident_bytes) / max(reading.at - before.at, 0.001)

    def _close_or_open(self, grown_bytes: int, flow_bytes_s: float, now: float) -> None:
        is_closed = grown_bytes > self._budget.limit_bytes * _CLOSED_SHARE
        if not is_closed:
            self._closed_at = math.inf
        elif self._closed_at == math.inf:
            self._closed_at = now
        if not is_closed and flow_bytes_s < _SLOW_BYTES_S:
            for each in self._open:
                if now - each.began_at > _YOUNG_S:
                    self._settle(each)
        self._large.allow(not is_closed)
        self._known.allow(grown_bytes <= self._budget.limit_bytes * _ALL_CLOSED_SHARE)

    def _end_late(self, now: float) -> None:
        slow = [each for each in self._open if now - each.began_at > _MOMENT_S]
        for each in slow:
            if each.timed:  # streams may be silent
                self._small_senders.forget(each.peer)
            if each.timed and now - each.began_at > LONGEST_S:
                self._abort(each, DeadlineError(f"the request was not received within {LONGEST_S:g} s"))
        timed = [each for each in slow if each.timed]
        for each in timed[: max(0, len(timed) - MOST)]:
            self._abort(each, _full(f"more than {MOST} requests are half received"))

    def _grown_bytes(self, reading: _Reading, meant: list[Receipt]) -> int:
        """By how much the process grew since the first of them began, less what it holds for those received since."""
        if not self._readings or not meant:
            return 0
        place = bisect.bisect_right(self._readings, meant[0].began_at, key=lambda each: each.at)
        before = self._readings[max(0, place - 1)]
        held = max(0, reading.held_bytes - before.held_bytes)
        return reading.resident_bytes - before.resident_bytes - held

    def _remember(self, reading: _Reading) -> None:
        self._readings.append(reading)
        if self._readings[0].at < reading.at - 2 * _KEPT_S:
            del self._readings[: bisect.bisect_left(self._readings, reading.at - _KEPT_S, key=lambda each: each.at)]

    def _free(self, meant: list[Receipt]) -> None:
        """End the older half of them, and see at the next look whether that was enough."""
        self._was_over = bool(meant)
        for each in meant[: (len(meant) + 1) // 2]:
            self._abort(each, _full("requests that are half received take too much memory"))

    def _abort(self, receipt: Receipt, error: TrunklineError) -> None:
        if receipt in self._open:
            self.end(receipt)
            # The call itself learns of it where it reads; it may also have ended in this moment.
            task = asyncio.create_task(end_with(receipt.context, error))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _meant(receipts: list[Receipt], now: float) -> list[Receipt]:
    """A stream may be open and silent for good reasons: it ends only where no other request can be meant."""
    return [each for each in receipts if each.timed] or [each for each in receipts if now - each.began_at < _KEPT_S]


def _full(reason: str) -> MemoryFullError:
    return MemoryFullError(f"{reason}: send it again, without pauses", retry_after_s=1.0)
