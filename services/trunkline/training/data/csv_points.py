"""Points in a CSV file: a picture and one object in each row.

Columns are `file`, `split`, and for each point x and y: `x1,y1,x2,y2` or `nose_x,nose_y`; further `v1` or `nose_v`
(0 not labelled, 1 hidden, 2 seen). `points.json` beside it may say what the columns do not: {"flip": [["l", "r"]],
"skeleton": [["a", "b"]], "distance": ["a", "b"]}.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import upright_size
from trunkline.training.data.json_text import read_json
from trunkline.training.data.listed_pictures import Listed, ListedPictures
from trunkline.training.data.numbers import number
from trunkline.training.data.point_objects import of_places
from trunkline.training.data.point_values import place_of
from trunkline.training.data.points import Pair, Place, PointScheme, flips_by_name
from trunkline.training.data.reading import is_file, read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.table import Row, Table, read_table

_FILE: Final = "file"
_BESIDE: Final = "points.json"
_BEFORE: Final = re.compile(r"(x|y|v)_?(\d+)", re.IGNORECASE)  # x1, y_1
_BEHIND: Final = re.compile(r"(.+?)[_.\- ](x|y|v|vis|visible|visibility)", re.IGNORECASE)  # nose_x
_NO_POINTS: Final = "there are no points: columns x1,y1,x2,y2 or nose_x,nose_y"
_ENDS: Final = 2  # of a line
_LEAST_SIDE: Final = 1.0  # of a box around points, in pixels


class _Columns(NamedTuple):
    x: str
    y: str
    visibility: str | None


def has_points(columns: Sequence[str]) -> bool:
    """Whether a table with these columns has points."""
    return bool(_points(columns))


def read_csv_points(path: Path, remarks: Remarks) -> Dataset:
    """The data set of a table; its folder is the root. A row with something wrong is left out.

    A point without both numbers is not labelled; one with a single number is wrong. The box of an object is that
    around its points. Raises DataInvalidError with the file and the reason; OSError.
    """
    table = read_table(path, remarks)
    if _FILE not in table.columns:
        raise DataInvalidError.at(path, f"there is no column 'file' among its {len(table.columns)}", 1)
    points = _points(table.columns)
    if not points:
        raise DataInvalidError.at(path, _NO_POINTS, 1)
    scheme = _scheme(path.parent / _BESIDE, tuple(points), remarks)
    samples = tuple(_Reader(table, points, scheme, remarks).samples())
    if not samples and not remarks.left_out:
        raise DataInvalidError.at(path, "no row has a point that is labelled")
    return Dataset(path.parent, "csv", tuple(points), (), samples, remarks=remarks)


def _points(columns: Sequence[str]) -> dict[str, _Columns]:
    """By name, those that have x and y, in the order of the columns."""
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        before, behind = _BEFORE.fullmatch(column), _BEHIND.fullmatch(column)
        if before:
            found.setdefault(before[2], {}).setdefault(before[1].lower(), column)
        elif behind:
            found.setdefault(behind[1], {}).setdefault(behind[2].lower()[0], column)
    return {
        name: _Columns(each["x"], each["y"], each.get("v"))
        for name, each in found.items()
        if {"x", "y"} <= each.keys()
    }


class _Reader:
    def __init__(self, table: Table, points: Mapping[str, _Columns], scheme: PointScheme, remarks: Remarks) -> None:
        self._table, self._points, self._scheme, self._remarks = table, points, scheme, remarks
        self._pictures = ListedPictures(table, remarks)

    def samples(self) -> list[Sample]:
        """A picture that is listed twice, both times the same, is one sample; otherwise it is in doubt."""
        found: dict[str, tuple[Row, Sample]] = {}
        doubtful: set[str] = set()
        for row in self._table.rows:
            sample = self._sample(row)
            if sample is None:
                continue
            first, before = found.setdefault(sample.name, (row, sample))
            if before != sample:
                text = f"its picture is also on line {first.line}, with other points or another split"
                self._remarks.leave_out("picture", Kind.PICTURE_TWICE, self._pictures.where(row), text)
                doubtful.add(sample.name)
        return [sample for name, (_, sample) in found.items() if name not in doubtful]

    def _sample(self, row: Row) -> Sample | None:
        picture = self._pictures.picture(row, _FILE)
        split = None if picture is None else self._pictures.split(row)
        if picture is None or split is None:
            return None
        try:
            size = upright_size(picture.path)
            places = self._places(row, size)
        except DataInvalidError as error:
            self._pictures.leave_out(row, error.message)
            return None
        if not places:
            self._remarks.leave_out(
                "picture", Kind.UNLABELLED, self._pictures.where(row), "none of its points is labelled"
            )
            return None
        return of_places(_bare(picture, split, size), places, _box_around(places), self._scheme)

    def _places(self, row: Row, size: tuple[int, int]) -> list[Place]:
        """Raises DataInvalidError, without the name of the file, for a value that is no number."""
        where, found = self._pictures.where(row), []
        for label, columns in enumerate(self._points.values()):
            texts = [row[columns.x], row[columns.y]]
            if not any(texts):
                continue
            known = row[columns.visibility] if columns.visibility is not None else "2"
            values = [number(text) for text in (*texts, known or "2")]
            if any(value is None for value in values):
                raise DataInvalidError(f"a value of point {label + 1} is no number")
            sound = [value for value in values if value is not None]
            found.append(place_of(label, sound, size, where, self._remarks))
        return [each for each in found if each is not None]


def _bare(picture: Listed, split: str, size: tuple[int, int]) -> Sample:
    return Sample(picture.name, split, None, (), partial(read_picture, picture.path), size=size)


def _box_around(places: Sequence[Place]) -> Box:
    x, y = [each.x for each in places], [each.y for each in places]
    left, top = min(x), min(y)
    return Box(left, top, max(*x, left + _LEAST_SIDE), max(*y, top + _LEAST_SIDE))


def _scheme(path: Path, names: tuple[str, ...], remarks: Remarks) -> PointScheme:
    """Raises DataInvalidError where the file beside it speaks of points that the table has not."""
    if not is_file(path):
        return PointScheme(flips_by_name(names))
    given = read_json(path, remarks)
    fields = given if isinstance(given, dict) else {}
    unknown = sorted(fields.keys() - {"flip", "skeleton", "distance"})
    if not fields or unknown:
        raise DataInvalidError.at(path, "it is an object with flip, skeleton or distance and nothing else")
    flips = _pairs(path, fields["flip"], names) if "flip" in fields else flips_by_name(names)
    distance = _pairs(path, [fields["distance"]], names)[0] if "distance" in fields else None
    return PointScheme(flips, _pairs(path, fields.get("skeleton", []), names), distance)


def _pairs(path: Path, given: Any, names: Sequence[str]) -> tuple[Pair, ...]:
    known = set(names)
    lines: list[Any] = given if isinstance(given, list) else [()]
    for line in lines:
        ends = [each for each in line if isinstance(each, str)] if isinstance(line, list) else []
        if len(ends) != _ENDS or len(line) != _ENDS or len(known & set(ends)) != _ENDS:
            raise DataInvalidError.at(path, "flip, skeleton and distance are pairs of names of points of the table")
    return tuple((line[0], line[1]) for line in lines)
