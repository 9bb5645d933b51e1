"""The live progress of a load test, on standard error."""

import math
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trunkline.cli.plain_progress import PlainProgress
from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.histograms import merged, percentile_ms
from trunkline.loadtest.run import StepResult
from trunkline.loadtest.tally import SECOND_DIGITS
from trunkline.loadtest.tally import Progress as SoFar


class LoadBar:
    """A live line for the step that runs, and one that stays for each that is done; no terminal, no live line."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
        )
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._progress = Progress(*columns, console=self._console, disable=not sys.stderr.isatty(), transient=True)
        self._task = self._progress.add_task("", total=1.0, said="")
        self._before, self._seen_at = SoFar(), time.monotonic()
        self._plain = None if sys.stderr.isatty() else PlainProgress()
        self._name, self._seconds, self._passed_s = "", 0.0, 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begins(self, name: str, seconds: float) -> None:
        self._before, self._seen_at = SoFar(), time.monotonic()
        self._progress.reset(self._task, description=name, total=seconds, said="")
        self._name, self._seconds, self._passed_s = name, seconds, 0.0

    def goes_on(self, progress: SoFar) -> None:
        before, self._before = self._before, progress.model_copy()
        passed_s, self._seen_at = time.monotonic() - self._seen_at, time.monotonic()
        rate = (progress.ok - before.ok) / max(passed_s, 1e-3)
        latency = merged([progress.histogram] if progress.histogram else [], SECOND_DIGITS)
        percentiles = (f"p{share:g} {_ms(percentile_ms(latency, share))}" for share in (50.0, 99.0))
        said = [f"{rate:.0f} OK/s", *percentiles, f"{progress.failed} failed", f"{progress.dropped} dropped"]
        self._progress.update(self._task, advance=passed_s, said=", ".join(said))
        self._passed_s += passed_s
        if self._plain is not None:
            self._plain.tell(f"{self._name}, seconds", round(self._passed_s), round(self._seconds), ", ".join(said))

    def ends(self, result: StepResult | None) -> None:
        if result is None:
            return
        figures = figures_of(result.tally)
        percentiles = (f"p{share:g} {_ms(figures.percentile_ms(share))}" for share in (50.0, 99.0))
        counts = f"{figures.failed} of {figures.arrivals} failed, {figures.dropped} dropped"
        self._console.print(f"{result.name}: {figures.per_second:.1f} OK/s, {', '.join(percentiles)}, {counts}")


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f} ms"
