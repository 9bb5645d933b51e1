"""Whether a head is so quick that the way to another thread costs more than it does."""

import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

# A hop to a worker and back takes about 0.24 ms of CPU; beyond some times of it, other cores are worth the way.
QUICK_S = 0.002
_SLOW_S = 0.05  # one run of this length, and the next ones are waited for by nobody but their own callers
_KEPT = 16
_LEAST = 8
_MOST_PARAMS = 64
_LONGEST_PARAMS = 200  # characters; longer ones hardly come again


class Pace:
    """Of the latest runs of a head with the same parameters, as time may follow from those."""

    def __init__(self) -> None:
        self._runs: dict[str, _Runs] = {}

    def ran(self, params: Mapping[str, Any], took_s: float) -> None:
        """A run with these took so long. From any thread."""
        key = _key(params)
        runs = self._runs.get(key)
        if runs is None:
            if len(key) > _LONGEST_PARAMS:
                return
            if len(self._runs) >= _MOST_PARAMS:
                self._runs = {}  # callers can make up parameters without end
            runs = self._runs.setdefault(key, _Runs())
        runs.ran(took_s)

    def is_quick(self, params: Mapping[str, Any]) -> bool:
        """Not known, and so no, before some runs with just these."""
        runs = self._runs.get(_key(params))
        return runs is not None and runs.are_quick


class _Runs:
    def __init__(self) -> None:
        self.are_quick = False
        self._took_s = deque[float](maxlen=_KEPT)

    def ran(self, took_s: float) -> None:
        self._took_s.append(took_s)
        took = list(self._took_s)
        self.are_quick = len(took) >= _LEAST and max(took) < _SLOW_S and statistics.median_low(took) < QUICK_S


def _key(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items())) if params else ""
