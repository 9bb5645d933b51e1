"""The data of a run: read, split, and looked at whole before anything is learned from it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.tasks import task_of
from trunkline.core.text import shown, shown_path
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.check import look_through
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.disjoint import classes_held_out, is_disjoint
from trunkline.training.data.holdout import held_out
from trunkline.training.data.read import read_dataset
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.unsound import Unsound, read_note, write_note

_CHECKED = "data-is-checked"
_LONGEST = 1000  # characters of a problem


def accept_data(
    request: TrainRequest, work: Path, progress: Callable[[int, int], None], read: Dataset | None = None
) -> Dataset:
    """The data set of a request without what is broken in it. A note in `work` saves the second look where a run goes
    on; then `remarks` of the data are counts alone. read: what read_sound gave, where it was asked before.

    Raises DataInvalidError with the file and the reason, also for remarks where the request is strict;
    DataForbiddenError for data that may not be read.
    """
    dataset = read or read_sound(request)
    likeness = task_of(request.task).learns_likeness
    note = seen_before(work)
    if note is None:
        report, unsound, remarks = look_through(
            dataset, progress=progress, every_class=not likeness, strict=request.strict
        )
        require_none(report.problems, request.data, request.task)
        work.mkdir(parents=True, exist_ok=True)
        write_note(work / _CHECKED, unsound, remarks)
    else:
        unsound, remarks = note
    return replace(unsound.left_out_of(dataset), remarks=remarks)


def seen_before(work: Path) -> tuple[Unsound, Remarks] | None:
    """What an earlier look found; None where there was none."""
    return read_note(work / _CHECKED)


def read_sound(request: TrainRequest) -> Dataset:
    """The same without a look at its pictures."""
    dataset = read_data(request)
    require_none(dataset.faults, request.data, request.task)
    if is_disjoint(dataset) and not task_of(request.task).learns_likeness:
        raise DataInvalidError.at(
            request.data, f"no class has pictures for both training and testing: {request.task} cannot be learned so"
        )
    return dataset


def read_data(request: TrainRequest) -> Dataset:
    """The same with its faults."""
    dataset = read_dataset(
        Path(request.data), targets=request.target, task=request.task, options=request.task_options
    )
    return classes_held_out(dataset) if task_of(request.task).learns_likeness else held_out(dataset)


def require_none(problems: Sequence[str], data: str, task: str) -> None:
    """Raises DataInvalidError with the first of the problems, and how to see the others."""
    if problems:
        more = len(problems) - 1
        named = shown_path(data)
        rest = f"; and {more} more: trunkline data check {named} --task {task} shows all" if more else ""
        raise DataInvalidError(shown(problems[0], _LONGEST) + rest, data=named, problems=len(problems))
