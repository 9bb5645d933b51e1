"""Data sets in a CSV file: `file,label[,split]`, `file,target…[,split]`, and those of flowers102, pets and bccd."""

import math
import posixpath
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import shown
from trunkline.training.data.classes import in_order, require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.reading import is_file, read_picture
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.table import Row, Table, read_table

FILE: Final = "file"
_LABEL, _SPLIT = "label", "split"
# Layout to the columns of the number and the name of a class.
_NUMBERED: Final = {"flowers102": ("class_id", "class_name"), "pets": ("breed_id", "breed")}
_LONGEST_NUMBER, _SHOWN = 18, 20
_BCCD = {"n_rbc", "n_wbc", "n_platelets"}

_Truth = tuple[int | None, tuple[float, ...]]  # label and targets of a row


def read_csv(path: Path, targets: Sequence[str] = ()) -> Dataset:
    """The data set of a CSV file; its folder is the root. With `targets`, regression of those columns alone.

    Raises DataInvalidError with the file, the line and the reason; OSError.
    """
    table = read_table(path)
    if FILE not in table.columns:
        raise DataInvalidError.at(path, f"there is no column 'file' among its {len(table.columns)}", 1)
    layout = _layout(table.columns)
    if targets or not _is_classification(table.columns, layout):
        return _regression(table, layout, targets)
    classes, labels = _plain_labels(table) if _LABEL in table.columns else _numbered_labels(table, *_NUMBERED[layout])
    samples = _samples(table, ((label, ()) for label in labels))
    require_two(classes, path)
    return Dataset(path.parent, layout, classes, (), samples)


def _layout(columns: tuple[str, ...]) -> str:
    if _LABEL not in columns:
        for layout, pair in _NUMBERED.items():
            if set(pair) <= set(columns):
                return layout
    return "bccd" if set(columns) >= _BCCD else "csv"


def _is_classification(columns: tuple[str, ...], layout: str) -> bool:
    return _LABEL in columns or layout in _NUMBERED


def _regression(table: Table, layout: str, targets: Sequence[str]) -> Dataset:
    names = _target_names(table, targets)
    rows = (tuple(_require_number(table, row, name) for name in names) for row in table.rows)
    samples = _samples(table, ((None, numbers) for numbers in rows))
    return Dataset(table.path.parent, layout, (), names, samples)


def _target_names(table: Table, targets: Sequence[str]) -> tuple[str, ...]:
    """Those that were asked for, or all columns in which any value is a number: text alone is a remark."""
    free = [column for column in table.columns if column not in (FILE, _LABEL, _SPLIT)]
    numeric = tuple(column for column in free if any(_number(row[column]) is not None for row in table.rows))
    if not targets and not numeric:
        raise DataInvalidError.at(table.path, "there is neither a column 'label' nor one of numbers", 1)
    for target in targets:
        if target in (FILE, _SPLIT) or target not in table.columns:
            places = ", ".join(table.place(column) for column in numeric[:_SHOWN]) or "none"
            more = f" and {len(numeric) - _SHOWN} more" if len(numeric) > _SHOWN else ""
            reason = f"there is no target {shown(target)!r}; of numbers are: {places}{more}"
            raise DataInvalidError.at(table.path, reason, 1)
    return tuple(dict.fromkeys(targets)) or numeric


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _require_number(table: Table, row: Row, column: str) -> float:
    number = _number(row[column])
    if number is None:
        raise DataInvalidError.at(table.path, f"the value in {table.place(column)} is no number", row.line)
    return number


def _plain_labels(table: Table) -> tuple[tuple[str, ...], list[int]]:
    """Classes, and the label of each row."""
    for row in table.rows:
        if not row[_LABEL]:
            raise DataInvalidError.at(table.path, "the label is empty", row.line)
    classes = in_order(row[_LABEL] for row in table.rows)
    index = {name: label for label, name in enumerate(classes)}
    return classes, [index[row[_LABEL]] for row in table.rows]


def _numbered_labels(table: Table, id_column: str, name_column: str) -> tuple[tuple[str, ...], list[int]]:
    """Classes in the order of their numbers, and the label of each row. Numbers and names go together one to one."""
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for row in table.rows:
        number, name = _class_number(table, row, id_column), row[name_column]
        if names.setdefault(number, name) != name or numbers.setdefault(name, number) != number:
            other = "name" if names[number] != name else "number"
            raise DataInvalidError.at(table.path, f"its class had another {other} before", row.line)
    index = {number: label for label, number in enumerate(sorted(names))}
    classes = tuple(names[number] for number in sorted(names))
    return classes, [index[int(row[id_column])] for row in table.rows]


def _class_number(table: Table, row: Row, column: str) -> int:
    text = row[column]
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER):
        raise DataInvalidError.at(table.path, f"the value in column {column!r} is no whole number", row.line)
    return int(text)


def _samples(table: Table, truths: Iterable[_Truth]) -> tuple[Sample, ...]:
    """A file that is listed twice, both times the same, is one sample."""
    found: dict[str, tuple[int, Sample]] = {}
    for row, (label, targets) in zip(table.rows, truths, strict=True):
        name = _picture(table, row)
        sample = Sample(name, _split(table, row), label, targets, partial(read_picture, table.path.parent / name))
        line, before = found.setdefault(name, (row.line, sample))
        if before != sample:
            reason = f"its picture is also on line {line}, with another {_difference(before, sample)}"
            raise DataInvalidError.at(table.path, reason, row.line)
    return tuple(sample for _, sample in found.values())


def _difference(one: Sample, other: Sample) -> str:
    if one.label != other.label:
        return "label"
    return "target" if one.targets != other.targets else "split"


def _picture(table: Table, row: Row) -> str:
    """Path of the picture below the root, in its shortest form. Links are followed, as far as they may be."""
    name = posixpath.normpath(row[FILE])
    if not row[FILE]:
        raise DataInvalidError.at(table.path, "the file is empty", row.line)
    if posixpath.isabs(name) or name.split("/")[0] == "..":
        raise DataInvalidError.at(table.path, "its file leaves the folder of the data set", row.line)
    if not is_file(table.path.parent / name):
        raise DataInvalidError.at(table.path, "its file is missing", row.line)
    return name


def _split(table: Table, row: Row) -> str:
    if _SPLIT not in table.columns:
        return NONE
    split = split_named(row[_SPLIT])
    if split is None:
        known = ", ".join(SPLITS)
        raise DataInvalidError.at(table.path, f"the split is none of {known}", row.line)
    return split
