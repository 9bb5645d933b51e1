"""Pairs in a CSV file: `a,b,same[,split]`, two pictures a line and whether they show the same thing."""

import posixpath
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.classes import require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.table import Row, Table, read_columns, read_table

FILE: Final = "pairs.csv"
_SIDES, _SAME, _SPLIT = ("a", "b"), "same", "split"
_WORDS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def has_pairs(path: Path) -> bool:
    """Whether a CSV file has the columns of pairs."""
    return path.is_file() and set(read_columns(path)) >= {*_SIDES, _SAME}


def read_pairs(path: Path) -> Dataset:
    """The pictures of all pairs; the folder of the file is the root.

    Pictures that a chain of same pairs joins are one class, named by its first picture; all others count as different
    in training. Each pair is kept with its first picture, so that a head is measured on the pairs as they are given.
    Raises DataInvalidError with the line for what is no pair, for a pair of different pictures that others make the
    same, and for a picture in two splits; OSError.
    """
    table = read_table(path)
    rows = [(row, *(_picture(table, row, side) for side in _SIDES), _is_same(table, row)) for row in table.rows]
    splits = _splits(table, [(row, first, second) for row, first, second, _ in rows])
    groups = _Groups()
    for _, first, second, same in rows:
        groups.join(first, second if same else first)
        groups.join(second, second)
    for row, first, second, same in rows:
        if not same and groups.of(first) == groups.of(second):
            raise DataInvalidError.at(path, f"{first} and {second} are the same by other pairs", row.line)
    classes = tuple(dict.fromkeys(groups.of(name) for name in splits))
    require_two(classes, path)
    index = {name: label for label, name in enumerate(classes)}
    pairs: dict[str, dict[str, bool]] = {name: {} for name in splits}
    for _, first, second, same in rows:
        pairs[first][second] = same
    samples = tuple(
        Sample(
            name,
            split,
            index[groups.of(name)],
            (),
            partial(Path.read_bytes, path.parent / name),
            pairs=tuple(pairs[name].items()),
        )
        for name, split in splits.items()
    )
    return Dataset(path.parent, "pairs", classes, (), samples)


class _Groups:
    """Pictures joined into groups. `of`: the first picture of the group."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}

    def of(self, name: str) -> str:
        while (before := self._before.setdefault(name, name)) != name:
            name = before
        return name

    def join(self, first: str, second: str) -> None:
        one, other = self.of(first), self.of(second)
        self._before[other] = one


def _splits(table: Table, pairs: list[tuple[Row, str, str]]) -> dict[str, str]:
    """Of each picture, in the order in which they come."""
    found: dict[str, str] = {}
    for row, *names in pairs:
        split = _split(table, row)
        for name in names:
            if found.setdefault(name, split) != split:
                reason = f"{name} is in split {found[name]!r} before and in {split!r} here"
                raise DataInvalidError.at(table.path, reason, row.line)
    return found


def _split(table: Table, row: Row) -> str:
    if _SPLIT not in table.columns:
        return NONE
    split = split_named(row[_SPLIT])
    if split is None:
        raise DataInvalidError.at(table.path, f"the split {row[_SPLIT]!r} is none of {', '.join(SPLITS)}", row.line)
    return split


def _picture(table: Table, row: Row, side: str) -> str:
    name = posixpath.normpath(row[side]) if row[side] else ""
    if not name or posixpath.isabs(name) or name.split("/")[0] == "..":
        raise DataInvalidError.at(table.path, f"{row[side]!r} is no picture in the folder of the data set", row.line)
    if not (table.path.parent / name).is_file():
        raise DataInvalidError.at(table.path, f"{name} is missing", row.line)
    return name


def _is_same(table: Table, row: Row) -> bool:
    same = _WORDS.get(row[_SAME].lower())
    if same is None:
        raise DataInvalidError.at(table.path, f"{row[_SAME]!r} in column 'same' is neither 1 nor 0", row.line)
    return same
