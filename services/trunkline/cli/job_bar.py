"""The progress of a job on standard error."""

from collections.abc import Iterable

from trunkline.cli.stages import Stages, stages
from trunkline.client import Epoch, JobEvent, JobProgress, StateChange

_QUICK_S = 1.0


def show_events(job: str, events: Iterable[JobEvent]) -> None:
    """How far each stage is, with what is left of it, and each change of state, until the events end."""
    told = False
    with stages() as shown:
        for event in events:
            match event.what:
                case StateChange():
                    shown.line(f"{job} {_state_text(event.what)}")
                case JobProgress():
                    if event.what.remarks and not told:
                        shown.line(remarks_text(event.what.remarks, event.what.left_out))
                        told = True
                    _show_stage(shown, event.what)


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


def _show_stage(shown: Stages, progress: JobProgress) -> None:
    own = progress.epoch if progress.stage == "epochs" else None
    words = (epoch_text(own) if own else "", time_text(progress.time_left_s))
    shown.stage(progress.stage, progress.done, progress.total, ", ".join(filter(None, words)))


def _state_text(change: StateChange) -> str:
    text = change.state.value.lower()
    text += f", attempt {change.attempt}" if change.attempt > 1 and not change.state.final else ""
    return f"{text}: {change.note}" if change.note and not change.state.final else text
