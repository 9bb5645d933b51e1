"""The live progress of a job on standard error."""

from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from trunkline.client import Epoch, JobEvent, JobProgress, StateChange

_QUICK_S = 1.0


def show_events(job: str, events: Iterable[JobEvent]) -> None:
    """A line for each stage, with what is left of it, and for each change of state, until the events end."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True, markup=False, highlight=False)) as bar:
        bars: dict[str, TaskID] = {}
        told = False
        for event in events:
            match event.what:
                case StateChange():
                    bar.console.print(f"{job} {_state_text(event.what)}")
                    bars.clear()
                case JobProgress():
                    if event.what.remarks and not told:
                        bar.console.print(remarks_text(event.what.remarks, event.what.left_out))
                        told = True
                    _show_stage(bar, bars, event.what)


def epoch_text(epoch: Epoch) -> str:
    """Loss and validation metric in a few words."""
    text = f"loss {epoch.train_loss:.3f}"
    if epoch.validation_metric is None:
        return text
    value = epoch.validation_metric
    shown = f"{100 * value:.1f} %" if epoch.metric == "accuracy" else f"{value:.3g}"
    return f"{text}, validation {epoch.metric} {shown}"


def time_text(seconds: float | None) -> str:
    """Such as "3:20 left"; "" where it is not known or soon over."""
    if seconds is None or seconds < _QUICK_S:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def remarks_text(remarks: int, left_out: int) -> str:
    """Such as "data: 12 remarks, 3 objects and pictures left out"."""
    end = f", {left_out:,} objects and pictures left out" if left_out else ""
    return f"data: {remarks:,} remark{'' if remarks == 1 else 's'}{end}; trunkline data check shows them"


def _show_stage(bar: Progress, bars: dict[str, TaskID], progress: JobProgress) -> None:
    if progress.stage not in bars:
        bars[progress.stage] = bar.add_task(progress.stage, total=progress.total, left="")
    own = progress.epoch if progress.stage == "epochs" else None
    text = f"{progress.stage}: {epoch_text(own)}" if own else progress.stage
    bar.update(
        bars[progress.stage],
        completed=progress.done,
        total=progress.total,
        description=text,
        left=time_text(progress.time_left_s),
    )


def _state_text(change: StateChange) -> str:
    text = change.state.value.lower()
    text += f", attempt {change.attempt}" if change.attempt > 1 and not change.state.final else ""
    return f"{text}: {change.note}" if change.note and not change.state.final else text
