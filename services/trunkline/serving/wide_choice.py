"""Whether a pass that is alone is better off with all cores."""

import itertools
import statistics
from collections import deque

_KEPT = 5
_TRIED = 3  # passes each way before one is preferred: a first wide one that is slow would cost the next two hundred
_WORTH = 0.85  # of the time on one core; for less, the others' cores are better left alone
_PROBE_EACH = 64


class WideChoice:
    """Chooses by what passes took, and tries the other way now and then.

    All cores are about twice as fast on two that are free, and twice as slow where other processes have them, since
    each layer waits for its last thread.
    """

    def __init__(self) -> None:
        self._took = {wide: deque[float](maxlen=_KEPT) for wide in (False, True)}  # seconds a pixel
        self._cold = {False, True}
        self._turn = itertools.count(1)

    def choose(self) -> bool:
        """Whether the next pass should be wide, if it is alone."""
        better = self._is_better()
        return not better if next(self._turn) % _PROBE_EACH == 0 else better

    def ran(self, *, wide: bool, took_s: float, pixels: int) -> None:
        if wide in self._cold:  # the first run takes memory and starts threads
            self._cold.discard(wide)
            return
        self._took[wide].append(took_s / pixels)

    def _is_better(self) -> bool:
        narrow, wide = self._took[False], self._took[True]
        if min(len(narrow), len(wide)) < _TRIED:
            return len(wide) <= len(narrow)
        return statistics.median(wide) < _WORTH * statistics.median(narrow)
