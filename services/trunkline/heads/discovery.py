"""The class that serves a task."""

import importlib

from trunkline.core import tasks
from trunkline.core.head import TaskHead


def head_class(task: str) -> type[TaskHead]:
    """The class that serves a task. Raises NotFoundError where there is no such folder."""
    tasks.require(task)
    module = importlib.import_module(f"trunkline.heads.{task}.head")
    found: type[TaskHead] = module.Head
    return found
