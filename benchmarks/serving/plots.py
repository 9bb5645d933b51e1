"""Throughput as bars, latency as curves over the percentile."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plotting import COLOURS, panels, save
from benchmarks.servers import SERVERS
from benchmarks.serving.point import Point
from benchmarks.serving.works import SHARED, WORKS
from trunkline.loadtest.histograms import merged, percentile_ms

_PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97.5, 99, 99.5, 99.9)


def plot_throughput(points: Sequence[Point], path: Path) -> None:
    """Answers per second with the most callers, and what share of bare that is."""
    works = [work for work in WORKS if work.open_shares and any(point.work == work.name for point in points)]
    if not works:
        return
    figure, axes = panels(len(works), 4.4)
    for axis, work in zip(axes, works, strict=True):
        load = f"closed {max(int(p.load.split()[1]) for p in points if p.work == work.name and p.load[0] == 'c')}"
        same = [point for point in points if (point.work, point.load) == (work.name, load)]
        axis.axhline(statistics.median(p.bare_per_second[SHARED] for p in same), color="black", linestyle="--")
        for server in SERVERS:
            _bar(axis, server, [point for point in same if point.server == server])
        axis.set(title=f"{work.name}, {load} callers", ylabel="answers/s (dashed: bare A)")
        axis.tick_params(axis="x", labelrotation=20)
    save(figure, path)


def _bar(axis: Any, server: str, same: Sequence[Point]) -> None:
    if not same:
        return
    rates = [point.per_second for point in same]
    middle = statistics.median(rates)
    error = [[middle - min(rates)], [max(rates) - middle]]
    axis.bar(server, middle, color=COLOURS[server], yerr=error, capsize=3)
    share = statistics.median(point.share_of(SHARED) or 0.0 for point in same)
    axis.text(server, middle / 2, f"{100 * share:.0f} %", ha="center", color="white")


def plot_latency(points: Sequence[Point], path: Path) -> None:
    """Latency over the percentile for one task from a JPEG, at each share of the capacity."""
    loads = sorted({point.load for point in points if point.work == "jpeg" and point.load.startswith("open")})
    if not loads:
        return
    figure, axes = panels(len(loads))
    for axis, load in zip(axes, loads, strict=True):
        for server in SERVERS:
            same = [
                point.histogram
                for point in points
                if (point.work, point.load, point.server) == ("jpeg", load, server)
            ]
            if same:
                histogram = merged(same)
                values = [percentile_ms(histogram, share) for share in _PERCENTILES]
                axis.plot(100 / (100 - np.array(_PERCENTILES)), values, label=server, color=COLOURS[server])
        axis.set_xscale("log")
        axis.set_xticks([1, 2, 10, 100, 1000], ["0", "50", "90", "99", "99.9"])
        axis.set(title=f"jpeg, {load} of the capacity", xlabel="percentile", ylabel="ms from the intended time")
        axis.legend()
    save(figure, path)
