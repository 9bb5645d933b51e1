"""`trunkline classify` and the like: a command for each task that is asked alone, made from what the task says."""

import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.core.params import Parameter, parameters_of
from trunkline.core.tasks import AnyTask, callable_tasks

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def add_to(app: typer.Typer) -> None:
    """One for each task."""
    for task in callable_tasks():
        assert task.call is not None
        app.command(task.call.command)(_command(task))


def _command(task: AnyTask) -> Callable[..., None]:
    assert task.call is not None
    given = parameters_of(task.params)

    def command(
        *,
        images: list[Path],
        head: str | None,
        json: bool,
        draw: Path | None,
        target: str,
        timeout: float,
        save: Path | None = None,
        **values: Any,
    ) -> None:
        from trunkline.cli.single import ask_and_show
        from trunkline.client import Client, SingleAnswer

        params = {each.name: values[each.argument] for each in given if _is_given(each, values[each.argument])}
        asked = task.to_be_drawn(params) if draw is not None or save is not None else params
        saved = None if save is None else _Saved(save, task)
        with Client(target) as client:

            def ask(image: Path) -> SingleAnswer[Any]:
                answer = client.ask(task.name, image, head, timeout, **asked)
                if saved is not None:
                    saved.write(image, task.file_of(answer.result))
                return answer

            ask_and_show(images, ask, task, json=json, draw=draw)
        if saved is not None and not json:
            print(f"{task.saved}: {saved.count} in {save}")

    parameters = [
        inspect.Parameter("images", _KEYWORD, annotation=Images),
        inspect.Parameter("head", _KEYWORD, annotation=_head(task), default=None),
        *(inspect.Parameter(each.argument, _KEYWORD, **_option(each)) for each in given),
        *_saving(task),
        inspect.Parameter("json", _KEYWORD, annotation=Json, default=False),
        inspect.Parameter("draw", _KEYWORD, annotation=Draw, default=None),
        inspect.Parameter("target", _KEYWORD, annotation=Target, default=DEFAULT_TARGET),
        inspect.Parameter("timeout", _KEYWORD, annotation=Timeout, default=30.0),
    ]
    command.__doc__ = task.call.help
    command.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _head(task: AnyTask) -> Any:
    text = f"{task.name.capitalize()} head; without it, the default one."
    return Annotated[str | None, typer.Option("--head", metavar="NAME", help=text)]


def _option(parameter: Parameter) -> dict[str, Any]:
    option, default = parameter.option, parameter.default
    options: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    if parameter.kind in (int, float):
        options |= {"min": option.low, "max": option.high}
    if parameter.kind is bool and default is False:
        return {"annotation": Annotated[bool, typer.Option(parameter.flag, **options)], "default": False}
    if default not in (None, ()):
        return {"annotation": Annotated[parameter.kind, typer.Option(parameter.flag, **options)], "default": default}
    kind = list[str] if parameter.is_list else parameter.kind
    return {"annotation": Annotated[kind | None, typer.Option(parameter.flag, **options)], "default": None}


def _saving(task: AnyTask) -> list[inspect.Parameter]:
    if not task.saved:
        return []
    text = f"Write the {task.saved} here, each with the name of its image."
    kind = Annotated[Path | None, typer.Option("--save", metavar="DIR", help=text)]
    return [inspect.Parameter("save", _KEYWORD, annotation=kind, default=None)]


def _is_given(parameter: Parameter, value: Any) -> bool:
    return value is not None and value not in ([], parameter.default)


class _Saved:
    """Files of what a task saves."""

    def __init__(self, folder: Path, task: AnyTask) -> None:
        """Raises OSError where the folder cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(f"cannot write {folder}: {error.strerror or error}") from error
        self._folder, self._suffix, self._taken, self.count = folder, task.suffix, set[str](), 0

    def write(self, image: Path, data: bytes) -> None:
        """As NAME; where two pictures are called the same, the later one gets a number. Raises OSError."""
        numbers = ("" if number == 1 else f"-{number}" for number in itertools.count(1))
        name = next(name for each in numbers if (name := f"{image.stem}{each}{self._suffix}") not in self._taken)
        (self._folder / name).write_bytes(data)
        self._taken.add(name)
        self.count += 1
