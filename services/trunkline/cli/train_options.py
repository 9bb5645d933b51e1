"""The options of `trunkline train` that follow from the tasks that are there."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_type_hints

import typer

from trunkline.core.params import Parameter, parameters_of
from trunkline.core.task import LIGHT
from trunkline.core.tasks import known

__all__ = [
    "LIGHT",
    "chosen_nets",
    "learners_of_numbers",
    "named_by_task",
    "one_of",
    "task_options",
    "with_task_options",
]


Choice = Literal["losses", "nets", "decoders", "sizes"]


def one_of(choice: Choice) -> Callable[[str | None], str | None]:
    """A callback of an option that refuses what no task has."""

    def check(value: str | None) -> str | None:
        names = dict.fromkeys(name for task in known().by_name.values() for name in getattr(task.training, choice))
        if value is not None and value not in names:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, names))}")
        return value

    return check


def named_by_task(choice: Choice) -> str:
    """Such as "segmentation: segnet; similarity: conv4"; tasks with the same names together."""
    by_names: dict[tuple[str, ...], list[str]] = {}
    for name, task in known().by_name.items():
        by_names.setdefault(getattr(task.training, choice), []).append(name)
    return "; ".join(f"{', '.join(tasks)}: {', '.join(names)}" for names, tasks in by_names.items() if names)


def chosen_nets() -> str:
    names = [name for name, task in known().by_name.items() if task.training.chooses_net]
    return f" of {', '.join(names)}" if names else ""


def learners_of_numbers() -> str:
    return ", ".join(name for name, task in known().by_name.items() if task.truth == "numbers")


def with_task_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each that a task adds, in place of its keywords."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=hints[each.name])
        for each in inspect.signature(command).parameters.values()
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    added = [_parameter(task, each) for task, each in _options()]
    command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
    return command


def task_options(values: Mapping[str, object]) -> dict[str, str]:
    """By name, those that were given."""
    return {each.name: str(values[each.argument]) for _, each in _options() if values[each.argument] is not None}


def _options() -> Iterator[tuple[str, Parameter]]:
    for name, task in known().by_name.items():
        for each in parameters_of(task.training.options):
            yield name, each


def _parameter(task: str, parameter: Parameter) -> inspect.Parameter:
    option = typer.Option(
        parameter.flag,
        help=parameter.option.help,
        metavar=parameter.option.metavar,
        show_default=False if parameter.default is None else str(parameter.default),
        rich_help_panel=task.capitalize(),
    )
    kind: Any = Annotated[parameter.kind | None, option]
    return inspect.Parameter(parameter.argument, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=None)
