"""The figures of a step, or of one kind of call in it, from its tally."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hdrh.histogram import HdrHistogram

from trunkline.loadtest.histograms import mean_ms, merged, percentile_ms
from trunkline.loadtest.recorder import OK
from trunkline.loadtest.tally import CallTally, Tally, merge_calls

_Z95 = 1.96


@dataclass(frozen=True)
class Figures:
    """Counts and latencies. `dropped` has no kind of call, so it is 0 for one kind."""

    calls: CallTally
    dropped: int
    seconds: float

    @cached_property
    def latency(self) -> HdrHistogram:
        """Of the calls that were answered OK."""
        return merged([self.calls.histogram] if self.calls.histogram else [])

    @property
    def codes(self) -> Mapping[str, int]:
        return self.calls.codes

    @property
    def ok(self) -> int:
        return self.codes.get(OK, 0)

    @property
    def failed(self) -> int:
        return sum(self.codes.values()) - self.ok

    @property
    def arrivals(self) -> int:
        return self.ok + self.failed + self.dropped

    @property
    def per_second(self) -> float:
        """Calls answered OK a second, until the last had ended."""
        return self.ok / self.seconds if self.seconds else 0.0

    @property
    def errors_percent(self) -> float:
        """Share of the arrivals without an OK answer, those included that were dropped; nan where there were none."""
        return self._percent(self.failed + self.dropped)

    @property
    def dropped_percent(self) -> float:
        return self._percent(self.dropped)

    @property
    def retried_percent(self) -> float:
        """Share of the arrivals that took more than one try."""
        return self._percent(self.calls.retried)

    @property
    def mean_ms(self) -> float:
        return mean_ms(self.latency)

    @property
    def max_ms(self) -> float:
        return percentile_ms(self.latency, 100.0)

    def percentile_ms(self, share: float) -> float:
        """nan where no call was answered OK."""
        return percentile_ms(self.latency, share)

    def interval_ms(self, share: float) -> tuple[float, float]:
        """The 95 % interval of a percentile by the ranks of a binomial, as if calls did not depend on each other.

        In a queue they do, so that the true one is wider. Too few calls bound a high percentile only from below.
        """
        if not self.ok:
            return math.nan, math.nan
        half = 100 * _Z95 * math.sqrt(share / 100 * (1 - share / 100) / self.ok)
        low = self.percentile_ms(share - half) if share > half else 0.0
        return low, self.percentile_ms(share + half) if share + half < 100 else math.inf

    def _percent(self, count: int) -> float:
        return 100 * count / self.arrivals if self.arrivals else math.nan


def figures_of(tally: Tally, call: str | None = None) -> Figures:
    """Those of all calls of a step, or of one kind; KeyError where it was never sent."""
    if call is not None:
        return Figures(tally.calls[call], 0, tally.seconds)
    return Figures(merge_calls(list(tally.calls.values())), tally.dropped, tally.seconds)


def lateness_p99_ms(tally: Tally) -> float:
    """How late the generator itself sent, 99th percentile; nan for a closed loop."""
    return percentile_ms(merged([tally.lateness] if tally.lateness else []), 99.0)


def cores(tally: Tally) -> float:
    """Cores that the generator's processes used together, in the mean."""
    return tally.cpu_s / tally.seconds if tally.seconds else 0.0
