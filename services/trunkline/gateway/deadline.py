"""Time that is left, shrinking on the way down."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from trunkline.core.errors import DeadlineError

T = TypeVar("T")
# What the answer needs for its own way back is not given to the services below: a share of the time, within bounds.
_WAY_BACK, _LEAST_WAY_BACK_S, _MOST_WAY_BACK_S = 0.02, 0.005, 0.1


class Deadline:
    """The end of a call, or of a part of it that has less time."""

    def __init__(self, timeout_s: float) -> None:
        """The call ends `timeout_s` seconds from now."""
        self._began_at = time.monotonic()
        way_back_s = min(_MOST_WAY_BACK_S, max(_LEAST_WAY_BACK_S, _WAY_BACK * timeout_s))
        self._ends_at = self._began_at + timeout_s - way_back_s

    def within(self, budget_s: float | None) -> "Deadline":
        """The deadline of a part that has `budget_s` seconds since the call began; itself where that is no less."""
        if budget_s is None or self._began_at + budget_s >= self._ends_at:
            return self
        part = Deadline(0.0)
        part._began_at, part._ends_at = self._began_at, self._began_at + budget_s
        return part

    def left_s(self) -> float:
        """Seconds, never below zero."""
        return max(0.0, self._ends_at - time.monotonic())

    async def bound(self, work: Awaitable[T], what: str) -> T:
        """What the work returns. Raises DeadlineError, and cancels the work, where it takes longer."""
        timer = asyncio.timeout(self.left_s())
        try:
            async with timer:
                return await work
        except TimeoutError:
            if not timer.expired():
                raise
            raise self.missed_by(what) from None

    def missed_by(self, what: str) -> DeadlineError:
        """The error for what was not there in time."""
        return DeadlineError(f"{what} did not finish within {self._ends_at - self._began_at:.3g} s", what=what)
