"""Plots of runs: latency by percentile, what happened over time, and the way to the knee. They need matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.histograms import merged, percentile_ms
from trunkline.loadtest.objectives import Objective
from trunkline.loadtest.plotting import panels, save
from trunkline.loadtest.run import Run
from trunkline.loadtest.tally import SECOND_DIGITS, SecondTally

_NINES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_POINTS = 400
_FAR_APART = 10.0


def plot_latency(curves: Mapping[str, HdrHistogram], path: Path) -> None:
    """Latency against the share of calls that were no slower, with each further nine as wide as the one before.

    A curve ends where fewer than one call is left, so that its end is the slowest call.
    """
    figure, (axis,) = panels(1, 7.5, 4.5)
    longest = 0.0
    for name, histogram in curves.items():
        if not (count := histogram.get_total_count()):
            continue
        nines = np.linspace(0, np.log10(count), _POINTS)  # (points,)
        axis.plot(nines, [percentile_ms(histogram, 100 * (1 - 10**-each)) for each in nines], label=name)
        longest = max(longest, float(nines[-1]))
    ticks = [share for share in _NINES if -np.log10(1 - share / 100) <= longest]
    axis.set_xticks([-np.log10(1 - share / 100) for share in ticks], [f"p{share:g}" for share in ticks])
    axis.set(xlabel="share of the calls that were no slower", ylabel="latency, ms")
    if longest:
        axis.legend()
    ends = [percentile_ms(each, 100.0) for each in curves.values() if each.get_total_count()]
    if ends and max(ends) > _FAR_APART * min(ends):
        axis.set_yscale("log")
    else:
        axis.set_ylim(0, None)
    save(figure, path)


def plot_time(run: Run, path: Path) -> None:
    """Answers and failures a second, and p50 and p99 of each second; the steps one after the other."""
    figure, (above, below) = panels(1, 9.0, 2.8, rows=2)
    at = 0
    for result in run.steps:
        series = result.tally.series
        seconds = range(max([*series, int(result.step.seconds) - 1]) + 1)
        _plot_counts(above, at, seconds, series)
        if result.step.load.kind == "open":
            ends = at + result.step.seconds
            above.plot([at, ends], [result.step.load.rate] * 2, "k--", linewidth=0.8, label="arrivals")
        _plot_percentiles(below, at, seconds, series)
        for axis in (above, below):
            axis.axvline(at, color="black", alpha=0.25, linewidth=0.8)
        above.annotate(result.name, (at, 1), xycoords=("data", "axes fraction"), fontsize=7, rotation=25)
        at += len(seconds)
    above.set(ylabel="calls/s, by their end", ylim=(0, None))
    below.set(xlabel="seconds of the steps, one after the other", ylabel="latency, ms", ylim=(0, None))
    for axis in (above, below):
        axis.legend(*_once(axis), fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(figure, path)


def plot_knee(run: Run, bound: Objective, path: Path) -> None:
    """The bounded figure at each rate that was tried."""
    figure, (axis,) = panels(1, 6.5, 4.0)
    assert run.knee is not None
    for held, colour, label in ((True, "#2e7d32", "holds"), (False, "#c62828", "does not hold")):
        tried = zip(run.knee.attempts, run.steps, strict=True)
        points = [(each.rate, bound.value(result.tally)) for each, result in tried if each.held is held]
        axis.scatter([rate for rate, _ in points], [value for _, value in points], color=colour, label=label)
    axis.axhline(bound.bound, color="black", linestyle="--", linewidth=1, label=bound.text)
    if run.knee.rate is not None:
        axis.axvline(run.knee.rate, color="#1b5e9e", linewidth=1, label=f"knee, {run.knee.rate:.1f}/s")
    axis.set(
        xlabel="arrivals/s", ylabel=f"{bound.figure} of the calls answered OK, ms", ylim=(0, None), xlim=(0, None)
    )
    axis.legend()
    save(figure, path)


def curves_of(run: Run) -> dict[str, HdrHistogram]:
    """By name of the step, or of the kind of call where there is one step and several kinds."""
    if len(run.steps) == 1 and len(run.steps[0].tally.calls) > 1:
        tally = run.steps[0].tally
        return {name: figures_of(tally, name).latency for name in sorted(tally.calls)}
    return {result.name: figures_of(result.tally).latency for result in run.steps}


def _plot_counts(axis: Any, at: int, seconds: Sequence[int], series: Mapping[int, SecondTally]) -> None:
    empty = SecondTally()
    edges = range(at, at + len(seconds) + 1)
    ok = [series.get(second, empty).ok for second in seconds]
    failed = [series.get(second, empty).failed for second in seconds]
    axis.stairs(ok, edges, color="#1b5e9e", label="answered OK")
    if any(failed):
        axis.stairs(failed, edges, color="#c62828", label="failed")


def _plot_percentiles(axis: Any, at: int, seconds: Sequence[int], series: Mapping[int, SecondTally]) -> None:
    found = {second: merged([series[second].histogram], SECOND_DIGITS) for second in seconds if second in series}
    x = [at + second + 0.5 for second in found]
    for share, colour in ((99.0, "#d98032"), (50.0, "#1b5e9e")):
        y = [percentile_ms(histogram, share) for histogram in found.values()]
        axis.plot(x, y, color=colour, marker=".", label=f"p{share:g}")


def _once(axis: Any) -> tuple[list[Any], list[str]]:
    found = {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)
