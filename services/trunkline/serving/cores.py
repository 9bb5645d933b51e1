"""Cores for one piece of work each, or all of them for one that is alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# With callers that keep the cores busy, passes side by side answer more pictures than wide ones in a row. So passes
# are wide where those before mostly met no other: by count and not by the clock, so that it holds at any speed.
MOSTLY = 0.75
_WEIGHT = 1 / 16  # of the newest pass in the share of those that met another


class Meetings:
    """How many of the latest pieces of work of one kind met others: 0 to 1. Kept by `Cores`."""

    def __init__(self) -> None:
        self.met_share = 0.0

    def note(self, *, met: bool) -> None:
        self.met_share += _WEIGHT * (met - self.met_share)


class Cores:
    """Counts the work that runs. A pass that is alone may take all cores; what comes then waits until it is done.

    So threads that compute never outnumber the cores.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0
        self._one_has_all = False
        self._meetings = Meetings()
        self._here = threading.local()  # .waited: whether this thread's work had to, for another's pass

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One core, for a piece of work."""
        with self._changed:
            self._here.waited = self._one_has_all
            self._waiting += 1
            self._changed.wait_for(lambda: not self._one_has_all)
            self._waiting -= 1
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1

    @contextmanager
    def all_cores(self, *, wanted: bool = True, meetings: Meetings | None = None) -> Iterator[bool]:
        """Within `entered`: whether a piece of work has all cores. Not beside others, nor where most met others.

        meetings: of the work of its kind; the passes of the backbone where none is named.
        """
        kind = meetings or self._meetings
        with self._changed:
            met = self._meets()
            has_all = wanted and self._cores > 1 and not met and kind.met_share < MOSTLY
            self._one_has_all = has_all
        try:
            yield has_all
        finally:
            with self._changed:
                met = met or self._here.waited or self._meets()
                kind.note(met=met)
                if has_all:
                    self._one_has_all = False
                    self._changed.notify_all()

    def _meets(self) -> bool:
        return self._running > 1 or self._waiting > 0
