"""How far a run over many pictures is, on standard error."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from trunkline.cli.plain_progress import PlainProgress


class PictureBar:
    """How many are done, pictures a second, time left, failures: a live line on a terminal, else one now and then."""

    def __init__(self, total: int, done: int, *, shown: bool = True) -> None:
        """done: pictures of an earlier run, which count for the bar and not for the rate."""
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(done),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]} failed"),
        )
        console, live = Console(stderr=True, markup=False, highlight=False), sys.stderr.isatty()
        self._progress = Progress(
            *columns, console=console, disable=not (shown and live), redirect_stdout=sys.stdout.isatty()
        )
        self._task = self._progress.add_task("", total=total, completed=done, failed=0)
        self._plain = PlainProgress() if shown and not live else None
        self._done, self._total, self._failed = done, total, 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, *, failed: bool) -> None:
        self._failed += failed
        self._done += 1
        self._progress.update(self._task, advance=1, failed=self._failed)
        if self._plain is not None:
            self._plain.tell("pictures", self._done, self._total, f"{self._failed:,} failed" if self._failed else "")


class _Rate(ProgressColumn):
    def __init__(self, before: int) -> None:
        super().__init__()
        self._before = before

    def render(self, task: Task) -> Text:
        """Over the whole run, as pictures come in bursts."""
        rate = (task.completed - self._before) / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:.1f}/s")
