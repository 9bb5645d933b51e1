"""A CSV file as text with line numbers; what its columns mean is known elsewhere."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import line_at, read_annotations, read_start

_MOST_COLUMNS: Final = 10_000
_LONGEST_LINE: Final = 1024 * 1024  # characters
_MOST_VALUES: Final = 10_000_000  # each takes about 60 bytes
_Cells = tuple[int, list[str]]  # line, and the values on it


@dataclass(frozen=True)
class Row:
    """The values of one line, without white space around them. places: of the columns, the first is 0."""

    line: int
    values: tuple[str, ...]
    places: Mapping[str, int]

    def __getitem__(self, column: str) -> str:
        return self.values[self.places[column]]


@dataclass(frozen=True)
class Table:
    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def place(self, column: str) -> str:
        """Which column it is, for messages: any file may be taken for a table, so its names are not repeated."""
        return f"column {self.columns.index(column) + 1}"


def read_table(path: Path) -> Table:
    """All rows, at least one; empty lines do not count.

    Raises DataInvalidError for text that is no UTF-8 or no CSV, and for rows that do not fit the header; OSError.
    """
    lines = _lines(path, read_annotations(path))
    columns = _header(path, lines)
    places = {column: place for place, column in enumerate(columns)}
    most = _MOST_VALUES // len(columns)
    rows = tuple(_row(path, places, cells) for cells in islice(lines, most + 1))
    if len(rows) > most:
        raise DataInvalidError.at(path, f"there are more than {_MOST_VALUES} values: split the table")
    if not rows:
        raise DataInvalidError.at(path, "there are no rows below the header")
    return Table(path, columns, rows)


def read_columns(path: Path) -> tuple[str, ...]:
    """The header alone. Raises as read_table does."""
    return _header(path, _lines(path, read_start(path, 2 * _LONGEST_LINE)))


def _lines(path: Path, data: bytes) -> Iterator[_Cells]:
    reader = csv.reader(_text_lines(path, data), skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataInvalidError.at(path, f"not CSV: {error}", reader.line_num) from error


def _text_lines(path: Path, data: bytes) -> Iterator[str]:
    """The lines with their ends, of a bounded length."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    number = 0
    try:
        while line := text.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                raise DataInvalidError.at(path, f"the line has more than {_LONGEST_LINE} characters", number)
            yield line
    except UnicodeDecodeError as error:
        raise DataInvalidError.at(path, "the text is not UTF-8", _bad_line(data)) from error


def _bad_line(data: bytes) -> int | None:
    """That of the first byte that is no text."""
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return line_at(data, error)
    return None


def _header(path: Path, lines: Iterator[_Cells]) -> tuple[str, ...]:
    line, columns = next(lines, (0, []))
    if not columns:
        raise DataInvalidError.at(path, "the file is empty")
    if len(columns) > _MOST_COLUMNS:
        raise DataInvalidError.at(path, f"there are {len(columns)} columns; the limit is {_MOST_COLUMNS}", line)
    places: dict[str, int] = {}
    for place, column in enumerate(columns, 1):
        if places.setdefault(column, place) != place:
            raise DataInvalidError.at(path, f"columns {places[column]} and {place} have the same name", line)
    return tuple(columns)


def _row(path: Path, places: Mapping[str, int], cells: _Cells) -> Row:
    line, values = cells
    if len(values) != len(places):
        raise DataInvalidError.at(path, f"{len(values)} values; the header has {len(places)} columns", line)
    return Row(line, tuple(values), places)
