"""The one place that knows how run.py is called for a job."""

from pathlib import Path

from trunkline.core.progress import Epoch, Watcher
from trunkline.core.train_request import TrainRequest


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
