"""The class that learns a task."""

import importlib

from trunkline.core.tasks import task_of
from trunkline.heads.learner import TaskLearner
from trunkline.training.early import require_trainable


def learner_class(task: str) -> type[TaskLearner]:
    """Raises InvalidRequestError for a task that does not exist or cannot be trained."""
    require_trainable(task)
    found: type[TaskLearner] = importlib.import_module(f"trunkline.heads.{task}.learn").Learner
    if task_of(task).learns_likeness and found.batches is TaskLearner.batches:
        raise TypeError(f"the learner of task {task!r} needs the method batches")
    return found
