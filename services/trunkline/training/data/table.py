"""A CSV file as text with line numbers; what its columns mean is known elsewhere."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.errors import DataInvalidError

_Cells = tuple[int, list[str]]  # line, and the values on it


@dataclass(frozen=True)
class Row:
    """The values of one line by column, without white space around them."""

    line: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


@dataclass(frozen=True)
class Table:
    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path) -> Table:
    """All rows, at least one; empty lines do not count.

    Raises DataInvalidError for text that is no UTF-8 or no CSV, and for rows that do not fit the header; OSError.
    """
    lines = _lines(path)
    columns = _header(path, lines)
    rows = tuple(_row(path, columns, cells) for cells in lines)
    if not rows:
        raise DataInvalidError.at(path, "there are no rows below the header")
    return Table(path, columns, rows)


def read_columns(path: Path) -> tuple[str, ...]:
    """The header alone. Raises as read_table does."""
    return _header(path, _lines(path))


def _lines(path: Path) -> Iterator[_Cells]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataInvalidError.at(path, f"not CSV: {error}", reader.line_num) from error


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataInvalidError.at(path, "the text is not UTF-8", line) from error


def _header(path: Path, lines: Iterator[_Cells]) -> tuple[str, ...]:
    line, columns = next(lines, (0, []))
    if not columns:
        raise DataInvalidError.at(path, "the file is empty")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataInvalidError.at(path, f"there are two columns {twice!r}", line)
    return tuple(columns)


def _row(path: Path, columns: tuple[str, ...], cells: _Cells) -> Row:
    line, values = cells
    if len(values) != len(columns):
        raise DataInvalidError.at(path, f"{len(values)} values; the header has {len(columns)} columns", line)
    return Row(line, dict(zip(columns, values, strict=True)))
