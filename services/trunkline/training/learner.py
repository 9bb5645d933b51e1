"""The class that learns a task."""

import importlib

from trunkline.heads.learner import TaskLearner
from trunkline.training.early import require_trainable


def learner_class(task: str) -> type[TaskLearner]:
    """Raises InvalidRequestError for a task that does not exist or cannot be trained."""
    require_trainable(task)
    found: type[TaskLearner] = importlib.import_module(f"trunkline.heads.{task}.learn").Learner
    return found
