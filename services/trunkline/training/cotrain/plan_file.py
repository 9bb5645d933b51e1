"""A plan from its YAML file. What is wrong is said with its key and its line."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.text import shown
from trunkline.training.cotrain.plan import HEAD_KEYS, KeptHead, Plan
from trunkline.training.data.plain_yaml import read_yaml
from trunkline.training.data.reading import is_file
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.texts import read_text

_INNER = ("request", "options")  # of a head as it is checked; the file has not these keys
_LONGEST = 300  # characters of a fault
Lines = dict[tuple[str, ...], int]


def read_plan(path: Path) -> Plan:
    """Raises InvalidRequestError with the line and the key of the first fault."""
    if not is_file(path):
        raise InvalidRequestError(f"there is no plan {shown(str(path))}: name a YAML file")
    remarks = Remarks()
    try:
        fields = read_yaml(path, remarks)
        lines = _lines(path, read_text(path, path.name, remarks))
    except DataInvalidError as error:
        raise InvalidRequestError(error.message) from error
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        where = tuple(str(part) for part in fault["loc"] if part not in _INNER)
        raise _at(path, lines, where, _said(where, fault["type"], fault["msg"])) from error


def _lines(path: Path, text: str) -> Lines:
    """The line of each key. Raises InvalidRequestError for one that stands there twice."""
    found: Lines = {}
    for where, line in _keys(yaml.compose(text, Loader=yaml.BaseLoader), ()):
        if where in found:
            raise _at(path, {where: line}, where, f"this key is on line {found[where]} too")
        found[where] = line
    return found


def _keys(node: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        where = (*above, str(key.value))
        yield where, key.start_mark.line + 1
        yield from _keys(value, where)


def _at(path: Path, lines: Lines, where: Sequence[str], reason: str) -> InvalidRequestError:
    known = next((lines[tuple(where[:end])] for end in range(len(where), 0, -1) if tuple(where[:end]) in lines), None)
    line = "" if known is None else f", line {known}"
    key = f": {shown('.'.join(where))}" if where else ""
    return InvalidRequestError(f"{shown(path.name)}{line}{key}: {reason}")


def _said(where: Sequence[str], kind: str, message: str) -> str:
    if kind == "missing":
        return "this key is missing"
    if kind != "extra_forbidden":
        return shown(message.removeprefix("Value error, "), _LONGEST)
    known = sorted(_known(where[:-1]))
    near = difflib.get_close_matches(where[-1], known, 1)
    return f"there is no such key{f'; did you mean {near[0]}?' if near else ''} known: {', '.join(known)}"


def _known(above: Sequence[str]) -> frozenset[str]:
    """The keys that may stand there."""
    if not above:
        return frozenset(Plan.model_fields)
    if above[0] == "spec":
        return frozenset(PreprocessSpec.model_fields)
    return frozenset(KeptHead.model_fields) if above[0] == "keep" else HEAD_KEYS
