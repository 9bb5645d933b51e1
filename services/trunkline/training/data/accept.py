"""The data of a run: read, split, and looked at whole before anything is learned from it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.check import check_dataset
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.holdout import held_out
from trunkline.training.data.read import read_dataset

_CHECKED = "data-is-checked"


def accept_data(request: TrainRequest, work: Path, progress: Callable[[int, int], None]) -> Dataset:
    """The data set of a request. A note in `work` saves the second look where a run goes on.

    Raises DataInvalidError with the file and the reason; OSError.
    """
    dataset = read_data(request)
    require_none(dataset.faults, request.data, request.task)
    checked = work / _CHECKED
    if not checked.exists():
        require_none(check_dataset(dataset, progress=progress).problems, request.data, request.task)
        work.mkdir(parents=True, exist_ok=True)
        checked.touch()
    return dataset


def read_data(request: TrainRequest) -> Dataset:
    """The same without a look at its pictures, for data that was accepted."""
    return held_out(read_dataset(Path(request.data), targets=request.target, task=request.task))


def require_none(problems: Sequence[str], data: str, task: str) -> None:
    """Raises DataInvalidError with the first of the problems, and how to see the others."""
    if problems:
        more = len(problems) - 1
        rest = f"; and {more} more: trunkline data check {data} --task {task} shows all" if more else ""
        raise DataInvalidError(problems[0] + rest, data=data, problems=len(problems))
