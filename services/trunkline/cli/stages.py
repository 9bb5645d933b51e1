"""The progress of what has stages, such as training: bars on a terminal, lines elsewhere, on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from trunkline.cli.output import complain
from trunkline.cli.plain_progress import PlainProgress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from trunkline.core.progress import Epoch, Watcher


class Stages(Protocol):
    """Where the stages are shown."""

    def stage(self, name: str, done: int, total: int | None, more: str = "") -> None:
        """How far a stage is. It may begin anew under its name."""

    def line(self, text: str) -> None:
        """A line that stays."""


class _Lines:
    def __init__(self, *, phases: bool) -> None:
        self._plain = PlainProgress(phases=phases)

    def stage(self, name: str, done: int, total: int | None, more: str = "") -> None:
        self._plain.tell(name, done, total, more)

    def line(self, text: str) -> None:
        complain(text)

    def end(self) -> None:
        self._plain.end()


class _Bars:
    def __init__(self, bar: "Progress") -> None:
        self._bar, self._now = bar, ""
        self._tasks: dict[str, TaskID] = {}

    def stage(self, name: str, done: int, total: int | None, more: str = "") -> None:
        self._end_before(name)
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total)
        elif self._bar.tasks[self._tasks[name]].completed > done:
            self._bar.reset(self._tasks[name], total=total)
        text = f"{name}: {more}" if more else name
        self._bar.update(self._tasks[name], completed=done, total=total, description=text)

    def line(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """What ended early, as epochs that bring nothing better, stays as full as it was needed."""
        self._end_before("")

    def _end_before(self, name: str) -> None:
        ended = self._tasks.get(self._now) if self._now != name else None
        self._now = name
        if ended is not None:
            self._bar.update(ended, total=self._bar.tasks[ended].completed)


class _Nowhere:
    def stage(self, name: str, done: int, total: int | None, more: str = "") -> None:
        pass

    def line(self, text: str) -> None:
        pass


@contextmanager
def stages(*, shown: bool = True, stay: bool = True) -> Iterator[Stages]:
    """stay: whether what is done of each stage stays to be seen."""
    if not shown:
        yield _Nowhere()
    elif not sys.stderr.isatty():
        lines = _Lines(phases=stay)
        yield lines
        lines.end()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=not stay) as bar:
            bars = _Bars(bar)
            yield bars
            bars.end()


@contextmanager
def watcher(*, shown: bool = True) -> "Iterator[Watcher]":
    """Stages of training or evaluation: one for each, and one for the epochs with loss and metric."""
    from trunkline.cli.job_bar import epoch_text, remarks_text
    from trunkline.core.progress import Watcher

    with stages(shown=shown) as told:

        def epoch(line: "Epoch") -> None:
            told.stage("epochs", line.number, line.of, epoch_text(line))

        def data(remarks: int, left_out: int) -> None:
            if remarks:
                told.line(remarks_text(remarks, left_out))

        yield Watcher(told.stage, epoch, data)
