"""A CSV file as text with line numbers; what its columns mean is known elsewhere."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import read_annotations, read_start
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.texts import bad_line, encoding_of, require_encoding

_MOST_COLUMNS: Final = 10_000
_LONGEST_LINE: Final = 1024 * 1024  # characters
_MOST_ROWS, _MOST_VALUES = 1_000_000, 10_000_000  # a row takes about 200 bytes, and a value 60
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


def read_table(path: Path, remarks: Remarks) -> Table:
    """All rows that fit the header, at least one; empty lines do not count, others are left out.

    Values are separated by commas, or by semicolons or tabs where the header has no comma. Raises DataInvalidError
    for text in no encoding that is known and for what is no CSV; OSError.
    """
    data = read_annotations(path)
    try:
        encoding = require_encoding(data, path.name, remarks)
    except DataInvalidError as error:
        raise DataInvalidError.at(path, error.message, bad_line(data)) from error
    separator = _separator(data, encoding)
    if separator != ",":
        name = "tabs" if separator == "\t" else "semicolons"
        remarks.read(Kind.SEPARATOR, path.name, f"its values are separated by {name}, and are read so")
    lines = _lines(path, data, encoding, separator)
    columns = _header(path, lines)
    places = {column: place for place, column in enumerate(columns)}
    most = min(_MOST_ROWS, _MOST_VALUES // len(columns))
    found = list(islice(lines, most + 1))
    if len(found) > most:
        raise DataInvalidError.at(path, f"there are more than {most} rows of {len(columns)} columns: split the table")
    rows = tuple(row for cells in found if (row := _row(path, places, cells, remarks)) is not None)
    if found and not rows:
        raise DataInvalidError.at(path, f"no row fits the header: {remarks.first_left_out('picture')}")
    if not rows:
        raise DataInvalidError.at(path, "there are no rows below the header")
    return Table(path, columns, rows)


def read_columns(path: Path) -> tuple[str, ...]:
    """The header alone. Raises as read_table does."""
    data = read_start(path, 2 * _LONGEST_LINE)
    encoding = encoding_of(data, whole=False)
    if encoding is None:
        raise DataInvalidError.at(path, "the text is not UTF-8: save it as UTF-8", bad_line(data))
    return _header(path, _lines(path, data, encoding, _separator(data, encoding)))


def _separator(data: bytes, encoding: str) -> str:
    header = data[:_LONGEST_LINE].decode(encoding, "ignore").lstrip().partition("\n")[0]
    return next((each for each in ",;\t" if each in header), ",")


def _lines(path: Path, data: bytes, encoding: str, separator: str) -> Iterator[_Cells]:
    lines = _text_lines(path, data, encoding)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataInvalidError.at(path, f"not CSV: {error}", reader.line_num) from error


def _text_lines(path: Path, data: bytes, encoding: str) -> Iterator[str]:
    """The lines with their ends, of a bounded length."""
    # The encoding is known to fit; only of a file of which the start was read, the last character may be cut.
    text = io.TextIOWrapper(io.BytesIO(data), encoding, "replace", newline="")
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataInvalidError.at(path, f"the line has more than {_LONGEST_LINE} characters", number)
        yield line.removeprefix("\ufeff") if number == 1 else line


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


def _row(path: Path, places: Mapping[str, int], cells: _Cells, remarks: Remarks) -> Row | None:
    line, values = cells
    while len(values) > len(places) and not values[-1]:
        values.pop()
    if len(values) != len(places):
        text = f"{len(values)} values; the header has {len(places)} columns"
        remarks.leave_out("picture", Kind.ROW, f"{path.name}, line {line}", text)
        return None
    return Row(line, tuple(values), places)
