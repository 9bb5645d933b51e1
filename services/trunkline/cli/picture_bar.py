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


class PictureBar:
    """A live line: how many are done, pictures a second, time left and failures; a quiet one shows none."""

    def __init__(self, total: int, done: int, *, quiet: bool) -> None:
        """done: pictures of an earlier run, which count for the bar and not for the rate."""
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(done),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]} failed"),
        )
        console = Console(stderr=True, markup=False, highlight=False)
        self._progress = Progress(*columns, console=console, disable=quiet, redirect_stdout=sys.stdout.isatty())
        self._task = self._progress.add_task("", total=total, completed=done, failed=0)
        self._failed = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, *, failed: bool) -> None:
        self._failed += failed
        self._progress.update(self._task, advance=1, failed=self._failed)


class _Rate(ProgressColumn):
    def __init__(self, before: int) -> None:
        super().__init__()
        self._before = before

    def render(self, task: Task) -> Text:
        """Over the whole run, as pictures come in bursts."""
        rate = (task.completed - self._before) / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:.1f}/s")
