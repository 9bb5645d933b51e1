"""Pairs in a CSV file: `a,b,same[,split]`, two pictures a line and whether they show the same thing."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.classes import require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.listed_pictures import Listed, ListedPictures
from trunkline.training.data.numbers import truth
from trunkline.training.data.reading import is_file, read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.table import Row, read_columns, read_table

FILE: Final = "pairs.csv"
_SIDES, _SAME = ("a", "b"), "same"


class _Pair(NamedTuple):
    row: Row
    first: Listed
    second: Listed
    same: bool
    split: str


def has_pairs(path: Path) -> bool:
    """Whether a CSV file has the columns of pairs."""
    return is_file(path) and set(read_columns(path)) >= {*_SIDES, _SAME}


def read_pairs(path: Path, remarks: Remarks) -> Dataset:
    """The pictures of all pairs; the folder of the file is the root.

    Pictures that a chain of same pairs joins are one class, named by its first picture; all others count as different
    in training. Each pair is kept with its first picture, so that a head is measured on the pairs as they are given.
    What is no pair, and one with a picture that was in another split before, is left out. Raises DataInvalidError
    with the line for a pair of different pictures that others make the same; OSError.
    """
    table = read_table(path, remarks)
    pictures = ListedPictures(table, remarks)
    pairs = _in_one_split(
        [pair for row in table.rows if (pair := _pair(pictures, row)) is not None], pictures, remarks
    )
    if not pairs:
        raise DataInvalidError.at(path, f"all pairs are left out, the first is {remarks.first_left_out('picture')}")
    splits = {picture.name: pair.split for pair in pairs for picture in (pair.first, pair.second)}
    files = {picture.name: picture.path for pair in pairs for picture in (pair.first, pair.second)}
    groups = _Groups()
    for pair in pairs:
        groups.join(pair.first.name, pair.second.name if pair.same else pair.first.name)
    for pair in pairs:
        if not pair.same and groups.of(pair.first.name) == groups.of(pair.second.name):
            raise DataInvalidError.at(path, "its pictures are the same by other pairs", pair.row.line)
    classes = tuple(dict.fromkeys(groups.of(name) for name in splits))
    require_two(classes, path)
    index = {name: label for label, name in enumerate(classes)}
    named: dict[str, dict[str, bool]] = {name: {} for name in splits}
    for pair in pairs:
        named[pair.first.name][pair.second.name] = pair.same
    samples = (
        Sample(name, split, index[groups.of(name)], (), partial(read_picture, files[name]))
        for name, split in splits.items()
    )
    samples = (replace(sample, pairs=tuple(named[sample.name].items())) for sample in samples)
    return Dataset(path.parent, "pairs", classes, (), tuple(samples), remarks=remarks)


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


def _pair(pictures: ListedPictures, row: Row) -> _Pair | None:
    """None where it is left out."""
    first = pictures.picture(row, _SIDES[0], "its picture a")
    second = pictures.picture(row, _SIDES[1], "its picture b") if first is not None else None
    split = pictures.split(row) if second is not None else None
    if first is None or second is None or split is None:
        return None
    same = truth(row[_SAME])
    if same is None:
        pictures.leave_out(row, "the value in column 'same' is neither 1 nor 0")
        return None
    return _Pair(row, first, second, same, split)


def _in_one_split(pairs: Sequence[_Pair], pictures: ListedPictures, remarks: Remarks) -> list[_Pair]:
    """Those of which no picture was in another split before."""
    found: dict[str, str] = {}
    kept = []
    for pair in pairs:
        both = zip(_SIDES, (pair.first, pair.second), strict=True)
        other = next((side for side, picture in both if found.get(picture.name, pair.split) != pair.split), None)
        if other is None:
            kept.append(pair)
            found |= {pair.first.name: pair.split, pair.second.name: pair.split}
        else:
            text = f"its picture {other} is in another split before"
            remarks.leave_out("picture", Kind.PICTURE_TWICE, pictures.where(pair.row), text)
    return kept
