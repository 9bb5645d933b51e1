"""Data sets with metadata.csv or metadata.jsonl beside the pictures: Hugging Face's ImageFolder.

Source: the description of ImageFolder in the documentation of the library datasets.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import printable
from trunkline.training.data.json_text import require_few
from trunkline.training.data.labelled import Entry, ToolData, places_of, tool_data
from trunkline.training.data.names import Names
from trunkline.training.data.reading import is_file, read_annotations
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes
from trunkline.training.data.splits import NONE, split_named
from trunkline.training.data.table import read_columns, read_table
from trunkline.training.data.texts import bad_line, decoded, lines_of_text

_FILES: Final = ("metadata.jsonl", "metadata.csv")
_NAME, _LABEL, _OBJECTS = "file_name", "label", "objects"
_BOXES, _CLASSES = ("bbox", "bboxes"), ("categories", "category", "label", "labels")

_Row = Mapping[str, Any]


def read_metadata(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures of rows with a column `file_name` and one `label`, or `objects`; None where there are none.

    The files lie in the folder, in data/, or below the splits; a name that begins with that of a split is of it.
    `objects` has `bbox`, a list of [x, y, width, height] in pixels, and `categories` in the same order, or is a list
    of objects with one of each. A class that is a number is called by it. Raises DataInvalidError for a file that
    cannot be read.
    """
    if root.is_file():
        return None
    names, entries, found = Names(root), list[Entry](), False
    for path, split in _files(root):
        where = printable(path.relative_to(root).as_posix())
        rows = list(_json_rows(path, where, remarks) if path.suffix == ".jsonl" else _csv_rows(path, remarks))
        if any(isinstance(row, dict) and _NAME in row and {_LABEL, _OBJECTS} & row.keys() for _, row in rows):
            found = True
            for line, row in rows:
                entry = _entry(row, f"{where}, line {line}", path.parent, split, names, remarks)
                entries += [entry] if entry is not None else []
    return tool_data(root, "metadata", entries, remarks) if found else None


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    places = list(places_of(root))
    if (root / "data").is_dir():
        places += places_of(root / "data")
    for folder, split in places:
        path = next((folder / name for name in _FILES if is_file(folder / name)), None)
        if path is not None:
            yield path, split


def _json_rows(path: Path, where: str, remarks: Remarks) -> Iterator[tuple[int, Any]]:
    """With their lines; None for one that cannot be read."""
    data = read_annotations(path)
    require_few(path, data)
    try:
        text = decoded(data, where, remarks)
    except DataInvalidError as error:
        raise DataInvalidError.at(path, error.message, bad_line(data)) from error
    for number, line in enumerate(lines_of_text(text), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _csv_rows(path: Path, remarks: Remarks) -> Iterator[tuple[int, Any]]:
    if _NAME in (columns := read_columns(path)) and _LABEL in columns:
        for row in read_table(path, remarks).rows:
            yield row.line, {_NAME: row[_NAME], _LABEL: row[_LABEL]}


def _entry(row: Any, where: str, folder: Path, split: str, names: Names, remarks: Remarks) -> Entry | None:
    name = row.get(_NAME) if isinstance(row, dict) else None
    if not isinstance(name, str) or not name:
        remarks.leave_out("picture", Kind.ROW, where, f"it is no row with a {_NAME}")
        return None
    picture = names.find(name, [folder])
    sure = picture is not None and not picture.read_as
    own = split or next((found for part in name.split("/")[:-1] if (found := split_named(part))), NONE)
    return Entry(where, picture, sure, own, (None, None), partial(_read, row))


def _read(row: _Row, shapes: Shapes) -> tuple[str, ...]:
    given = row.get(_OBJECTS)
    for place, (box, label) in enumerate(_pairs(given, shapes), 1):
        name = f"object {place}"
        sides = shapes.numbers(box, name) if isinstance(box, list) and len(box) == 4 else None
        if sides is None:
            shapes.leave_out(Kind.BOX, name, "its bbox is not [x, y, width, height], four numbers")
            continue
        x, y, width, height = sides
        shapes.box(_class_of(label), name, (x, y, x + width, y + height))
    found = _class_of(row.get(_LABEL))
    return (found,) if found else ()


def _pairs(given: Any, shapes: Shapes) -> list[tuple[Any, Any]]:
    """Boxes with their classes."""
    if isinstance(given, dict):
        boxes, labels = _value(given, _BOXES), _value(given, _CLASSES)
        if isinstance(boxes, list) and isinstance(labels, list) and len(boxes) == len(labels):
            return list(zip(boxes, labels, strict=True))
    elif isinstance(given, list) and all(isinstance(each, dict) for each in given):
        return [(_value(each, _BOXES), _value(each, _CLASSES)) for each in given]
    if given is not None:
        shapes.leave_out(Kind.ENTRY, "its objects", "they are no boxes with as many classes")
    return []


def _value(given: _Row, keys: tuple[str, ...]) -> Any:
    return next((given[key] for key in keys if key in given), None)


def _class_of(label: Any) -> str:
    """The name of a class, also of one that is a number; "" for what is none."""
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    return label if isinstance(label, str) else ""
