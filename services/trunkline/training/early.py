"""What can be said of a run at once: importing torch takes seconds, so it is not imported here."""

from importlib.util import find_spec
from pathlib import Path

from trunkline.core.errors import InvalidRequestError
from trunkline.core.repository import Repository
from trunkline.core.tasks import task_names
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.accept import read_sound
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.wanted import wanted
from trunkline.training.like import as_like


def looked_ahead(request: TrainRequest, models: Path) -> Dataset:
    """The data of the request, whose task, backbone and splits are there. models: the repository.

    Raises InvalidRequestError, DataInvalidError and ModelInvalidError as the run would later.
    """
    require_trainable(request.task)
    repository = Repository(models)
    repository.backbone(as_like(request, repository).backbone)
    dataset = read_sound(request)
    wanted(request, dataset)
    return dataset


def require_trainable(task: str) -> None:
    """Raises InvalidRequestError for a task that does not exist or cannot be trained."""
    trainable = [known for known in task_names() if find_spec(f"trunkline.heads.{known}.learn")]
    if task not in trainable:
        raise InvalidRequestError(f"task {task!r} cannot be trained; tasks that can: {', '.join(trainable)}")
