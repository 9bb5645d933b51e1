"""Data sets in a CSV file: `file,label[,split]`, `file,target…[,split]`, and those of flowers102, pets and bccd."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import shown
from trunkline.training.data.classes import in_order, require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.listed_pictures import SPLIT, ListedPictures
from trunkline.training.data.numbers import whole
from trunkline.training.data.reading import read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.table import Row, Table, read_table

FILE: Final = "file"
_LABEL = "label"
# Layout to the columns of the number and the name of a class.
_NUMBERED: Final = {"flowers102": ("class_id", "class_name"), "pets": ("breed_id", "breed")}
_LONGEST_NUMBER, _SHOWN = 18, 20
_BCCD = {"n_rbc", "n_wbc", "n_platelets"}

_Truth = tuple[int | None, tuple[float, ...]]  # label and targets of a row


def read_csv(path: Path, targets: Sequence[str], remarks: Remarks) -> Dataset:
    """The data set of a CSV file; its folder is the root. With `targets`, regression of those columns alone.

    Raises DataInvalidError with the file, the line and the reason; OSError.
    """
    table = read_table(path, remarks)
    if FILE not in table.columns:
        raise DataInvalidError.at(path, f"there is no column 'file' among its {len(table.columns)}", 1)
    return _Reader(table, targets, remarks).dataset()


class _Reader:
    """Reads the rows of a table; one with something wrong is left out."""

    def __init__(self, table: Table, targets: Sequence[str], remarks: Remarks) -> None:
        self._table, self._targets, self._remarks = table, targets, remarks
        self._layout = _layout(table.columns)
        self._pictures = ListedPictures(table, remarks)

    def dataset(self) -> Dataset:
        root, layout, rows = self._table.path.parent, self._layout, self._table.rows
        if self._targets or not _is_classification(self._table.columns, layout):
            names = _target_names(self._table, self._targets)
            samples = self._samples(
                [(row, truth) for row in rows if (truth := self._numbers(row, names)) is not None]
            )
            return Dataset(root, layout, (), names, samples, remarks=self._remarks)
        found = self._plain_labels() if _LABEL in self._table.columns else self._numbered_labels(*_NUMBERED[layout])
        order = {name: label for label, name in enumerate(found)}
        samples = self._samples([(row, (order[name], ())) for name, same in found.items() for row in same])
        # A class whose rows were all left out is none.
        left = {sample.label for sample in samples}
        classes = tuple(name for label, name in enumerate(found) if label in left)
        index = {name: label for label, name in enumerate(classes)}
        labels = [index.get(name, 0) for name in found]
        samples = tuple(sample.relabelled(labels) for sample in samples)
        require_two(classes, self._table.path)
        return Dataset(root, layout, classes, (), samples, remarks=self._remarks)

    def _numbers(self, row: Row, names: Sequence[str]) -> _Truth | None:
        found = [_number(row[name]) for name in names]
        wrong = next((name for name, value in zip(names, found, strict=True) if value is None), None)
        if wrong is not None:
            self._pictures.leave_out(row, f"the value in {self._table.place(wrong)} is no number")
            return None
        return None, tuple(value for value in found if value is not None)

    def _plain_labels(self) -> dict[str, list[Row]]:
        """The rows of each class, in their order."""
        found: dict[str, list[Row]] = {}
        for row in self._table.rows:
            if row[_LABEL]:
                found.setdefault(row[_LABEL], []).append(row)
            else:
                self._pictures.leave_out(row, "the label is empty")
        return {name: found[name] for name in in_order(found)}

    def _numbered_labels(self, id_column: str, name_column: str) -> dict[str, list[Row]]:
        """The rows of each class in the order of their numbers. Numbers and names go together one to one."""
        rows: dict[int, list[Row]] = {}
        names: dict[int, str] = {}
        numbers: dict[str, int] = {}
        for row in self._table.rows:
            number, name = _class_number(row[id_column]), row[name_column]
            if number is None or not name:
                self._pictures.leave_out(row, f"the value in column {id_column!r} is no whole number, or has no name")
                continue
            if names.setdefault(number, name) != name or numbers.setdefault(name, number) != number:
                other = "name" if names[number] != name else "number"
                raise DataInvalidError.at(self._table.path, f"its class had another {other} before", row.line)
            if not row[id_column].isdecimal():
                text = f"the value in column {id_column!r} is read as the whole number that it means"
                self._remarks.read(Kind.ID, self._pictures.where(row), text)
            rows.setdefault(number, []).append(row)
        return {names[number]: rows[number] for number in sorted(rows)}

    def _samples(self, truths: Sequence[tuple[Row, _Truth]]) -> tuple[Sample, ...]:
        """A file that is listed twice, both times the same, is one sample; otherwise it is in doubt and left out."""
        found: dict[str, tuple[Row, Sample, bool]] = {}
        doubtful: set[str] = set()
        rows = [(row, picture, truth) for row, truth in truths if (picture := self._pictures.picture(row, FILE))]
        for row, picture, (label, targets) in sorted(rows, key=lambda each: (not each[1].sure, each[0].line)):
            split = self._pictures.split(row)
            if split is None:
                continue
            sample = Sample(picture.name, split, label, targets, partial(read_picture, picture.path))
            first, before, sure = found.setdefault(picture.name, (row, sample, picture.sure))
            if before != sample:
                text = f"its picture is also on line {first.line}, with another {_difference(before, sample)}"
                self._remarks.leave_out("picture", Kind.PICTURE_TWICE, self._pictures.where(row), text)
                doubtful |= {picture.name} if picture.sure or not sure else set()
        kept = (each for name, each in found.items() if name not in doubtful)
        samples = tuple(sample for _, sample, _ in sorted(kept, key=lambda each: each[0].line))
        if not samples:
            first_reason = self._remarks.first_left_out("picture")
            raise DataInvalidError.at(self._table.path, f"all rows are left out, the first is {first_reason}")
        return samples


def _layout(columns: tuple[str, ...]) -> str:
    if _LABEL not in columns:
        for layout, pair in _NUMBERED.items():
            if set(pair) <= set(columns):
                return layout
    return "bccd" if set(columns) >= _BCCD else "csv"


def _is_classification(columns: tuple[str, ...], layout: str) -> bool:
    return _LABEL in columns or layout in _NUMBERED


def _target_names(table: Table, targets: Sequence[str]) -> tuple[str, ...]:
    """Those that were asked for, or all columns in which any value is a number: text alone is a remark."""
    free = [column for column in table.columns if column not in (FILE, _LABEL, SPLIT)]
    numeric = tuple(column for column in free if any(_number(row[column]) is not None for row in table.rows))
    if not targets and not numeric:
        raise DataInvalidError.at(table.path, "there is neither a column 'label' nor one of numbers", 1)
    for target in targets:
        if target in (FILE, SPLIT) or target not in table.columns:
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


def _class_number(text: str) -> int | None:
    if text.isascii() and text.isdecimal():
        return int(text) if len(text) <= _LONGEST_NUMBER else None
    number = whole(text)
    return number if number is not None and number >= 0 else None


def _difference(one: Sample, other: Sample) -> str:
    if one.label != other.label:
        return "label"
    return "target" if one.targets != other.targets else "split"
