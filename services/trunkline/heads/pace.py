"""Whether a head is so quick that the way to another thread costs more than it does."""

import statistics
from collections import deque

# A hop to a worker and back takes about 0.24 ms of CPU; beyond some times of it, other cores are worth the way.
QUICK_S = 0.002
_SLOW_S = 0.05  # one run of this length, and the next ones are waited for by nobody but their own callers
_KEPT = 16
_LEAST = 8


class Pace:
    """Of the latest runs of a head, as they were: how long one takes follows from parameters and pictures too."""

    def __init__(self) -> None:
        self.is_quick = False
        self._took_s = deque[float](maxlen=_KEPT)

    def ran(self, took_s: float) -> None:
        """A run took so long. From any thread."""
        self._took_s.append(took_s)
        took = list(self._took_s)
        self.is_quick = len(took) >= _LEAST and max(took) < _SLOW_S and statistics.median_low(took) < QUICK_S
