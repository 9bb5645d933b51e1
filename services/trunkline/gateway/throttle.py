"""Refusing at once, where it costs least, what the service behind has just refused.

A refusal over there costs both sides about a fifth of a pass on a CPU: at twice the capacity that adds up.
"""

import time
from collections.abc import Callable

from trunkline.core.errors import QueueFullError

# Of several replicas behind one address, one that is full refuses a call now and then, and never so many in a row.
RUN = 4
# Of the wait that was told, and in seconds: the queue over there must not run dry meanwhile.
PAUSE_SHARE, LONGEST_PAUSE_S = 0.25, 0.1
# What is kept over there needs no place: where some calls are answered so, all are let through.
KEPT_S = 10.0
_LEAST_RETRY_S = 0.01


class Throttle:
    """After some refusals in a row, calls with no more time than those had are refused here for a moment.

    So a call with little time costs none that has more. For one event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tickets = 0
        self._last, self._run = -1, 0
        self._time_s = 0.0  # the most that one of the run had
        self._paused_until, self._kept_until = 0.0, 0.0
        self._told, self._told_at = QueueFullError("", retry_after_s=0.0), 0.0

    def admit(self, timeout_s: float | None) -> int:
        """The ticket of a call that is sent. Raises QueueFullError, as the other side did, for one that is not."""
        now = self._clock()
        if self._kept_until <= now < self._paused_until and timeout_s is not None and timeout_s <= self._time_s:
            retry_after_s = max(_LEAST_RETRY_S, self._told.retry_after_s - (now - self._told_at))
            raise QueueFullError(self._told.message, retry_after_s=retry_after_s, **self._told.metadata)
        self._tickets += 1
        return self._tickets

    def noted(self, error: Exception, ticket: int, timeout_s: float | None) -> Exception:
        """The same error, which a call ended with."""
        if isinstance(error, QueueFullError):
            self.refused(ticket, timeout_s, error)
        return error

    def refused(self, ticket: int, timeout_s: float | None, error: QueueFullError) -> None:
        """A call was refused on the other side."""
        follows = ticket == self._last + 1
        self._last, self._run = ticket, self._run + 1 if follows else 1
        self._time_s = max(self._time_s if follows else 0.0, timeout_s or 0.0)
        if self._run >= RUN:
            self._told, self._told_at = error, self._clock()
            self._paused_until = self._told_at + min(LONGEST_PAUSE_S, PAUSE_SHARE * error.retry_after_s)

    def kept(self) -> None:
        """A call was answered from what is kept."""
        self._kept_until = self._clock() + KEPT_S
