"""Finds tasks: each folder under heads/ is one; what its task.py says is the same for all who ask.

The folders are found by name when they are first asked for, so nothing here depends on heads. A folder with a
head.py alone is a task too, with JSON values as answers. TRUNKLINE_HEADS_PATH names further folders to look in.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trunkline.core.errors import ConfigurationError, NotFoundError
from trunkline.core.results import Custom, Result
from trunkline.core.task import BaseTask, Metric

_HEADS = "trunkline.heads"
AnyTask = BaseTask[Any]


class _Untyped(BaseTask[Custom]):
    result = Custom

    def from_values(self, values: Mapping[str, Any]) -> Custom:
        return Custom(values)


@dataclass(frozen=True)
class Tasks:
    """All tasks by name, and those with a type or a message of their own by these."""

    by_name: Mapping[str, AnyTask]
    by_result: Mapping[type, AnyTask]
    by_field: Mapping[str, AnyTask]


def add_folders(folders: Iterable[str]) -> None:
    """Look for tasks in these folders too. Raises ConfigurationError where one does not exist."""
    paths = _paths()
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigurationError(f"TRUNKLINE_HEADS_PATH names {folder}, which is no folder")
        if folder not in paths:
            paths.append(folder)
            known.cache_clear()


def task_names() -> list[str]:
    """Of all tasks that can be served, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(_paths()) if module.ispkg)


@cache
def known() -> Tasks:
    """All tasks that are there."""
    by_name = {name: _made(name) for name in task_names()}
    typed = [task for task in by_name.values() if task.result is not Custom]
    by_result: dict[type, AnyTask] = {task.result: task for task in typed}
    with_message = {task.field: task for task in typed if task.field != AnyTask.field}
    return Tasks(by_name, {**by_result, Custom: _Untyped("custom")}, with_message)


def task_of(name: str) -> AnyTask:
    """The task of this name; of one that is not here, what can be said of any."""
    found = known().by_name.get(name)
    return _Untyped(name) if found is None else found


def task_of_result(result: Result) -> AnyTask:
    """The task whose answer this is."""
    return known().by_result[type(result)]


def task_answering(kind: type[Result]) -> AnyTask:
    """The task whose answers are of this type."""
    return known().by_result[kind]


def callable_tasks() -> list[AnyTask]:
    """Those that are asked by a call of their own, in the order of their names."""
    return [task for task in known().by_name.values() if task.call is not None]


def deciding_metric(task: str, first: Mapping[str, float], second: Mapping[str, float]) -> Metric | None:
    """The metric by which two versions of a head are compared; None where they have none in common.

    Those of its task come first; a task that says none, or is not here, may be measured as others are.
    """
    others = (metric for each in known().by_name.values() for metric in each.metrics)
    for metric in (*task_of(task).metrics, *others):
        if metric.decides and metric.name in first and metric.name in second:
            return metric
    return None


def metric_named(name: str) -> Metric:
    """As the task says that has it; of one that no task has, a share that is better the larger it is."""
    known_ones = (metric for task in known().by_name.values() for metric in task.metrics)
    return next((metric for metric in known_ones if metric.name == name), Metric(name))


def require(name: str) -> None:
    """Raises NotFoundError where there is no such task."""
    if name not in task_names():
        raise NotFoundError(f"there is no task {name!r}; known: {', '.join(task_names())}", task=name)


def _made(name: str) -> AnyTask:
    """Raises ConfigurationError for a task.py that is broken."""
    module = f"{_HEADS}.{name}.task"
    try:
        if find_spec(module) is None:
            return _Untyped(name)
        made: AnyTask = importlib.import_module(module).Task(name)
    except Exception as error:
        raise ConfigurationError(f"task.py of task {name!r} cannot be used: {error!r}") from error
    return made


@cache
def _paths() -> list[str]:
    """Where tasks are looked for. Of the environment, what is there: who serves says what is not (`add_folders`)."""
    paths: list[str] = importlib.import_module(_HEADS).__path__  # type: ignore[assignment]
    named = os.environ.get("TRUNKLINE_HEADS_PATH", "").split(",")
    paths.extend(folder for folder in named if folder not in ("", *paths) and Path(folder).is_dir())
    return paths
