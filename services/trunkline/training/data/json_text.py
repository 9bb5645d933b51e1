"""JSON of a data set, within bounds."""

import json
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import shown_path
from trunkline.training.data.reading import largest_annotations, read_annotations
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.texts import bad_line, decoded

# Of the limit on the size of the file: COCO's own have one list in 100 bytes, and a value in 7.
_BYTES_A_LIST, _BYTES_A_VALUE = 32, 6


class NoJsonError(DataInvalidError):
    """The text of a file is no JSON."""


def read_json(path: Path, remarks: Remarks) -> Any:
    """What the file holds. Raises DataInvalidError that names it, with the line where there is one."""
    data = read_annotations(path)
    require_few(path, data)
    if not data.strip():
        raise NoJsonError.at(path, "the file is empty")
    try:
        return json.loads(decoded(data, path.name, remarks))
    except (ValueError, RecursionError, DataInvalidError) as error:
        raise NoJsonError.at(path, *_fault(data, error)) from error


def unnamed(error: DataInvalidError, path: Path) -> str:
    """The message of an error of read_json without the name of its file."""
    return error.message.removeprefix(shown_path(path)).lstrip(":, ")


def require_few(path: Path, data: bytes) -> None:
    """Raises DataInvalidError that names the file for more lists and values than there is room for: each takes many
    times what it has in the file."""
    lists, values = data.count(b"[") + data.count(b"{"), data.count(b",")
    if lists > largest_annotations() // _BYTES_A_LIST or values > largest_annotations() // _BYTES_A_VALUE:
        raise DataInvalidError.at(path, f"{lists} lists and objects with {values} values are too many for one file")


def _fault(data: bytes, error: Exception) -> tuple[str, int | None]:
    """What is wrong and on which line; never what stands there."""
    match error:
        case json.JSONDecodeError():
            return f"not JSON: {error.msg}, at column {error.colno}", error.lineno
        case DataInvalidError():
            return error.message, bad_line(data)
        case RecursionError():
            return "not JSON that can be read: it is nested too deep", None
    return "not JSON that can be read: a number in it is too long", None
