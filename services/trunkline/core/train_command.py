"""The command line on a card, back to the request that it repeats: the other way of TrainRequest.command."""

import shlex
from collections.abc import Mapping
from typing import Any

from trunkline.core.errors import InvalidRequestError
from trunkline.core.params import parameters_of
from trunkline.core.tasks import known
from trunkline.core.train_request import TrainRequest, parse_request

_START = ["trunkline", "train"]
_LISTS: Mapping[str, str] = {
    "--target": "target",
    "--angle": "angle",
    "--feature": "features",
    "--split": "train_splits",
}
_MAPS: Mapping[str, str] = {"--unit": "unit", "--taught": "taught"}
_SPEC = ("width", "height", "resize", "colour", "crop_share", "interpolation")
_OPTIONS = ("epochs", "batch", "rate", "weight_decay", "dropout", "label_smoothing", "seed")
_FLAGS = ("--strict", "--balance")


def request_on_card(card: str) -> TrainRequest | None:
    """The request whose command a card shows; `data` is the name of its folder alone. None where there is none.

    Raises InvalidRequestError for a command that is no request, as of a version that is not this one.
    """
    for line in card.splitlines():
        if line.startswith("    trunkline train "):
            return parsed_command(line.strip())
    return None


def parsed_command(command: str) -> TrainRequest:
    """Raises InvalidRequestError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidRequestError(f"the command on the card is damaged: {error}") from error
    if words[:2] != _START:
        raise InvalidRequestError("the command on the card is not a trunkline train command")
    return parse_request(_fields(words[2:]))


def _fields(words: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    rest, of_tasks = iter(words), _of_tasks()
    for word in rest:
        if word in _FLAGS:
            _put(fields, word.removeprefix("--"), True)
            continue
        value = next(rest, None)
        if value is None or not word.startswith("--"):
            raise InvalidRequestError(f"the command on the card is damaged at {word!r}")
        if word in _LISTS:
            fields.setdefault(_LISTS[word], []).append(value)
        elif word in _MAPS:
            name, _, meant = value.partition("=")
            fields.setdefault(_MAPS[word], {})[name] = meant
        elif word in of_tasks:
            fields.setdefault("task_options", {})[of_tasks[word]] = value
        else:
            _put(fields, word.removeprefix("--").replace("-", "_"), value)
    return fields


def _of_tasks() -> dict[str, str]:
    """Names of options that tasks add, by their flags."""
    options = (each for task in known().by_name.values() for each in parameters_of(task.training.options))
    return {each.flag: each.name for each in options}


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    inner = "spec" if name in _SPEC else "options" if name in (*_OPTIONS, "balance") else None
    (fields if inner is None else fields.setdefault(inner, {}))[name] = value
