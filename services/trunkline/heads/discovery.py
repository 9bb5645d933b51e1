"""Finds tasks: each folder under heads/ with a head.py is one."""

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path

import trunkline.heads
from trunkline.core.errors import ConfigurationError, NotFoundError
from trunkline.core.head import TaskHead


def add_folders(folders: Iterable[str]) -> None:
    """Look for tasks in these folders too. Raises ConfigurationError where one does not exist."""
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigurationError(f"TRUNKLINE_HEADS_PATH names {folder}, which is no folder")
        if folder not in trunkline.heads.__path__:
            trunkline.heads.__path__.append(folder)


def tasks() -> list[str]:
    """Names of all tasks that can be served, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(trunkline.heads.__path__) if module.ispkg)


def head_class(task: str) -> type[TaskHead]:
    """The class that serves a task. Raises NotFoundError where there is no such folder."""
    if task not in tasks():
        raise NotFoundError(f"there is no task {task!r}; known: {', '.join(tasks())}", task=task)
    module = importlib.import_module(f"trunkline.heads.{task}.head")
    found: type[TaskHead] = module.Head
    return found
