"""The one place that knows how the run, the data check and the evaluation are called for a job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.core.progress import Epoch, Watcher
from trunkline.core.train_request import TrainRequest


def check_data(request: TrainRequest, progress: Callable[[int, int], None]) -> None:
    """Look at every picture, before torch is imported. Raises DataInvalidError with the file and the reason."""
    from trunkline.core.errors import DataInvalidError
    from trunkline.training.data.check import check_dataset
    from trunkline.training.data.read import read_dataset

    target = request.target[0] if len(request.target) == 1 else None
    problems = check_dataset(read_dataset(Path(request.data), target=target), progress=progress).problems
    if problems:
        more = len(problems) - 1
        rest = f"; and {more} more: trunkline data check {request.data} shows all" if more else ""
        raise DataInvalidError(problems[0] + rest, data=request.data, problems=len(problems))


def evaluate(models: Path, head: str, data: Path, split: str | None) -> dict[str, Any]:
    """head, version, data, count and metrics. Raises TrunklineError."""
    from trunkline.training.data.read import read_dataset
    from trunkline.training.evaluation import evaluate_head

    return evaluate_head(models, head, read_dataset(data), split, lambda done, total: None)


def train(request: TrainRequest, models: Path, cache: Path, work: Path, watcher: Watcher) -> Path:
    """Train and publish. Returns the folder of the bundle. `work` takes checkpoints, from which it goes on.

    Raises TrunklineError for what whoever asked can mend.
    """
    from trunkline.core.errors import InvalidRequestError
    from trunkline.training import fit, run
    from trunkline.training.data.read import read_dataset

    if (request.mode, request.task) != ("features", "classification"):
        raise InvalidRequestError(f"mode {request.mode!r} of task {request.task!r} cannot be trained yet")
    given = request.model_dump(include={"features", "spec"}, exclude_none=True)
    old = run.TrainRequest(
        name=request.name,
        backbone=request.backbone,
        train_splits=request.train_splits,
        validation_split=request.validation_split,
        test_split=request.test_split,
        options=fit.FitOptions(**request.options.model_dump(exclude_none=True, exclude={"batch"})),
        licence=request.licence,
        command=request.command(),
        **{name: getattr(request, name) for name in given},
    )
    seen = run.Watcher(watcher.stage, lambda epoch: watcher.epoch(Epoch(**vars(epoch))))
    return run.train_head(old, read_dataset(Path(request.data)), models, cache, seen)
