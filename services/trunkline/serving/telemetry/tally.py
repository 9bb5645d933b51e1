"""Counters and histograms without a lock: those of the Prometheus client take several times as long.

They are written on the event loop's thread alone, and read by the thread of a scrape.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Labels = tuple[str, ...]


class Tally:
    """A number for each tuple of labels."""

    def __init__(self) -> None:
        self._numbers: dict[Labels, float] = {}

    def add(self, amount: float, *labels: str) -> None:
        self._numbers[labels] = self._numbers.get(labels, 0) + amount

    def read(self) -> dict[Labels, float]:
        return self._numbers.copy()


class Distribution:
    """For each tuple of labels, how many values lay in each bucket, and their sum."""

    def __init__(self, bounds: Sequence[float], labels: int) -> None:
        """`bounds` are the upper ends of the buckets, rising; one without an end follows. `labels`: how many."""
        self._bounds = tuple(map(float, bounds))
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}
        if not labels:
            self._new(())  # shown from the start, so that a rate knows when it was 0

    def add(self, value: float, *labels: str) -> None:
        counts, total = self._series.get(labels) or self._new(labels)
        counts[bisect_left(self._bounds, value)] += 1
        total[0] += value

    def read(self) -> Iterator[tuple[Labels, list[tuple[str, float]], float]]:
        """Labels, (upper end, number of values up to it) for each bucket, and the sum."""
        for labels, (counts, total) in list(self._series.items()):
            so_far, buckets = 0, []
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts.copy(), strict=True):
                so_far += count
                buckets.append((bound, float(so_far)))
            yield labels, buckets, total[0]

    def _new(self, labels: Labels) -> tuple[list[int], list[float]]:
        return self._series.setdefault(labels, ([0] * (len(self._bounds) + 1), [0.0]))
