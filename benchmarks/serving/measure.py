"""Measures one kind of work on one running server: bare, point, bare, point, bare, …"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.bare import Bare, Rate, rate
from benchmarks.load.process import Load
from benchmarks.load.queue import ideal_histogram
from benchmarks.output import tell
from benchmarks.pictures import items_for
from benchmarks.servers import Running
from benchmarks.serving.point import Point, point_from
from benchmarks.serving.works import Work
from benchmarks.usage import cpu_seconds, memory_mib
from trunkline.core.cpu import available_cores

_ITEMS = 120


@dataclass(frozen=True)
class Lengths:
    """Seconds of each part, and which loads."""

    closed_s: float = 3.2
    open_s: float = 5.5
    bare_s: float = 0.8
    callers: tuple[int, ...] = (1, 4, 16)


class Beside:
    """The bare loops of a work, run again beside each point, since a shared machine drifts."""

    def __init__(self, loops: Mapping[str, Bare], work: Work, seconds: float) -> None:
        self._loops, self._seconds = loops, seconds
        self._items = items_for(work.given, _ITEMS, seed=2)
        self._last = self._run()

    def step(self) -> tuple[dict[str, float], dict[str, float]]:
        """Run all loops again. Returns the rates beside the point before, and the CPU ms, each by name."""
        before, self._last = self._last, self._run()
        rates = {name: (before[name].per_second + now.per_second) / 2 for name, now in self._last.items()}
        return rates, {name: (before[name].cpu_ms + now.cpu_ms) / 2 for name, now in self._last.items()}

    def _run(self) -> dict[str, Rate]:
        return {name: rate(loop.answer, self._items, self._seconds) for name, loop in self._loops.items()}


@dataclass(frozen=True)
class Subject:
    """A running server, the load process that can ask it, and the place of the work's target there."""

    server: Running
    load: Load
    target: int
    repeat: int

    def point(self, work: Work, load: str, beside: Beside | None, do: str, **order: Any) -> Point:
        """Carry out an order, with the bare loops after it."""
        before: list[float] = []
        found = self.load.order(
            do, lambda: before.append(cpu_seconds(self.server.process)), target=self.target, **order
        )
        used_s = cpu_seconds(self.server.process) - before[0]
        memory = memory_mib(self.server.process)
        rates, cpu_ms = beside.step() if beside is not None else ({}, {})
        point = point_from(
            found,
            used_s,
            server=self.server.name,
            work=work.name,
            load=load,
            repeat=self.repeat,
            offered_per_second=order.get("rate"),
            bare_per_second=rates,
            bare_cpu_ms=cpu_ms,
            memory_mib=memory,
        )
        tell(f"{self.repeat + 1}: {self.server.name}, {work.name}, {load}: {point.per_second:.1f}/s")
        return point


def points(subject: Subject, work: Work, beside: Beside, lengths: Lengths) -> Iterator[Point]:
    """Closed loops, then open loops at shares of the best rate that those just reached."""
    capacity = 0.0
    for callers in _callers(work, lengths):
        done = subject.point(work, f"closed {callers}", beside, "closed", callers=callers, seconds=lengths.closed_s)
        capacity = max(capacity, done.per_second)
        yield done
    for share in work.open_shares:
        rate, seed = share * capacity, 100 * subject.repeat + int(100 * share)
        order = {"rate": rate, "seconds": lengths.open_s, "seed": seed}
        point = subject.point(work, f"open {100 * share:.0f} %", None, "open", **order)
        yield replace(point, ideal_histogram=ideal_histogram(rate, lengths.open_s, seed, capacity, available_cores()))


def _callers(work: Work, lengths: Lengths) -> Sequence[int]:
    return [callers for callers in work.callers if callers in lengths.callers] or work.callers[:1]
