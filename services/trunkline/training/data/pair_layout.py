"""Pairs in a CSV file: `a,b,same[,split]`, two pictures a line and whether they show the same thing."""

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.classes import require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.reading import is_file, read_picture
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.table import Row, Table, read_columns, read_table

FILE: Final = "pairs.csv"
_SIDES, _SAME, _SPLIT = ("a", "b"), "same", "split"
_WORDS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class _Pair(NamedTuple):
    row: Row
    first: str
    second: str
    same: bool


def has_pairs(path: Path) -> bool:
    """Whether a CSV file has the columns of pairs."""
    return is_file(path) and set(read_columns(path)) >= {*_SIDES, _SAME}


def read_pairs(path: Path) -> Dataset:
    """The pictures of all pairs; the folder of the file is the root.

    Pictures that a chain of same pairs joins are one class, named by its first picture; all others count as different
    in training. Each pair is kept with its first picture, so that a head is measured on the pairs as they are given.
    Raises DataInvalidError with the line for what is no pair, for a pair of different pictures that others make the
    same, and for a picture in two splits; OSError.
    """
    table = read_table(path)
    pairs = [_pair(table, row) for row in table.rows]
    splits = _splits(table, pairs)
    groups = _Groups()
    for pair in pairs:
        groups.join(pair.first, pair.second if pair.same else pair.first)
    for pair in pairs:
        if not pair.same and groups.of(pair.first) == groups.of(pair.second):
            raise DataInvalidError.at(path, "its pictures are the same by other pairs", pair.row.line)
    classes = tuple(dict.fromkeys(groups.of(name) for name in splits))
    require_two(classes, path)
    index = {name: label for label, name in enumerate(classes)}
    named: dict[str, dict[str, bool]] = {name: {} for name in splits}
    for pair in pairs:
        named[pair.first][pair.second] = pair.same
    samples = (
        Sample(name, split, index[groups.of(name)], (), partial(read_picture, path.parent / name))
        for name, split in splits.items()
    )
    samples = (replace(sample, pairs=tuple(named[sample.name].items())) for sample in samples)
    return Dataset(path.parent, "pairs", classes, (), tuple(samples))


class _Groups:
    """Pictures joined into groups. `of`: the first picture of the group."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}

    def of(self, name: str) -> str:
        while (before := self._before.setdefault(name, name)) != name:
            self._before[name] = name = self._before[before]  # shorter for the next one
        return name

    def join(self, first: str, second: str) -> None:
        one, other = self.of(first), self.of(second)
        self._before[other] = one


def _pair(table: Table, row: Row) -> _Pair:
    first, second = (_picture(table, row, side) for side in _SIDES)
    return _Pair(row, first, second, _is_same(table, row))


def _splits(table: Table, pairs: Sequence[_Pair]) -> dict[str, str]:
    """Of each picture, in the order in which they come."""
    found: dict[str, str] = {}
    for pair in pairs:
        split = _split(table, pair.row)
        for name in (pair.first, pair.second):
            if found.setdefault(name, split) != split:
                side = _SIDES[0] if name == pair.first else _SIDES[1]
                reason = f"its picture {side} is in another split before"
                raise DataInvalidError.at(table.path, reason, pair.row.line)
    return found


def _split(table: Table, row: Row) -> str:
    if _SPLIT not in table.columns:
        return NONE
    split = split_named(row[_SPLIT])
    if split is None:
        raise DataInvalidError.at(table.path, f"the split is none of {', '.join(SPLITS)}", row.line)
    return split


def _picture(table: Table, row: Row, side: str) -> str:
    name = posixpath.normpath(row[side]) if row[side] else ""
    if not name or posixpath.isabs(name) or name.split("/")[0] == "..":
        raise DataInvalidError.at(table.path, f"its {side} is no picture in the folder of the data set", row.line)
    if not is_file(table.path.parent / name):
        raise DataInvalidError.at(table.path, f"its picture {side} is missing", row.line)
    return name


def _is_same(table: Table, row: Row) -> bool:
    same = _WORDS.get(row[_SAME].lower())
    if same is None:
        raise DataInvalidError.at(table.path, "the value in column 'same' is neither 1 nor 0", row.line)
    return same
