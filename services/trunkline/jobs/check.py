"""What can be said of a request before it is queued."""

from importlib.util import find_spec
from pathlib import Path

from trunkline.core.errors import InvalidRequestError, NotFoundError
from trunkline.core.repository import Repository
from trunkline.core.tasks import task_names
from trunkline.core.text import shown
from trunkline.core.train_request import TrainRequest


def placed(request: TrainRequest) -> TrainRequest:
    """The request with whole paths of what is read, so that it means the same to a worker started elsewhere."""
    paths = {"data": request.data, "weights": request.weights, "unlabelled": request.unlabelled}
    return request.model_copy(update={name: path and str(Path(path).absolute()) for name, path in paths.items()})


def check_request(request: TrainRequest, models: Path) -> None:
    """Raises InvalidRequestError for data that is not there or a task that cannot be learned, NotFoundError for a
    backbone that is not in the model folder."""
    known = learnable_tasks()
    if request.task not in known:
        raise InvalidRequestError(f"task {shown(request.task)!r} cannot be trained; known: {', '.join(known)}")
    check_data(request.data)
    if request.mode != "scratch" and not Repository(models).versions("backbone", request.backbone):
        raise NotFoundError(f"there is no backbone {request.backbone!r} to train on", name=request.backbone)


def check_data(data: str) -> None:
    """Raises InvalidRequestError where there is neither such a folder nor such a CSV file."""
    path = Path(data)
    try:
        there = path.is_dir() or (path.suffix == ".csv" and path.is_file())
    except OSError:  # no right to look, or a name that no file can have
        there = False
    if not there:
        named = shown(data)
        raise InvalidRequestError(
            f"data: there is no folder or CSV file {named} on the machine of the training service", data=named
        )


def learnable_tasks() -> list[str]:
    """Tasks with a learn.py, which is not imported."""
    return [task for task in task_names() if find_spec(f"trunkline.heads.{task}.learn") is not None]
