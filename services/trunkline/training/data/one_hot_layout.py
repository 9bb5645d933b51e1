"""Data sets of classes as Roboflow writes them for several labels: a column for each class with 0 or 1."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.text import printable
from trunkline.training.data.labelled import Entry, ToolData, places_of, tool_data
from trunkline.training.data.names import Names
from trunkline.training.data.numbers import truth
from trunkline.training.data.reading import is_file
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes
from trunkline.training.data.table import Row, read_table

_FILE: Final = "_classes.csv"
_NAME: Final = "filename"


def read_one_hot(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures of _classes.csv, in the folder or below its splits; None where there is none.

    Its first column is `filename`, each other one a class. Raises DataInvalidError for a file that cannot be read.
    """
    if root.is_file():
        return None
    names, entries, found = Names(root), list[Entry](), False
    for folder, split in places_of(root):
        table = read_table(folder / _FILE, remarks) if is_file(folder / _FILE) else None
        if table is not None and table.columns[0].lower() == _NAME:
            found = True
            where = printable(table.path.relative_to(root).as_posix())
            for row in table.rows:
                picture = names.find(row.values[0], [folder])
                sure = picture is not None and not picture.read_as
                read = partial(_read, row, table.columns[1:])
                entries.append(Entry(f"{where}, line {row.line}", picture, sure, split, (None, None), read))
    return tool_data(root, "one-hot", entries, remarks) if found else None


def _read(row: Row, classes: Sequence[str], shapes: Shapes) -> tuple[str, ...]:
    values = [truth(value) for value in row.values[1:]]
    if None in values:
        shapes.leave_out(Kind.ROW, "its classes", "a value is neither 0 nor 1")
    return tuple(name for name, value in zip(classes, values, strict=True) if value)
