"""Cores for one piece of work each, or all of them for one that is alone."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# After passes met. With callers that keep the cores busy, passes side by side answer more pictures than wide ones
# in a row; a moment without company between two of their calls must not change that.
QUIET_S = 0.25


class Turnstile:
    """Counts the work that runs. Work that is alone may take all cores; what comes then waits until it is done.

    So threads that compute never outnumber the cores.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._changed = threading.Condition()
        self._running = 0
        self._one_has_all = False
        self._met_at = float("-inf")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One core, for a piece of work."""
        with self._changed:
            if self._one_has_all:
                self._met_at = time.monotonic()
                self._changed.wait_for(lambda: not self._one_has_all)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1

    @contextmanager
    def all_cores(self, *, wanted: bool = True) -> Iterator[bool]:
        """Within `entered`: whether this work has all cores from here on. Not where others run or met just before."""
        with self._changed:
            now = time.monotonic()
            if self._running > 1:
                self._met_at = now
            has_all = wanted and self._cores > 1 and self._running == 1 and now - self._met_at > QUIET_S
            self._one_has_all = has_all
        try:
            yield has_all
        finally:
            if has_all:
                with self._changed:
                    self._one_has_all = False
                    self._changed.notify_all()
