"""Pictures that the rows of a table name, with the split that the row says."""

from pathlib import Path
from typing import Final, NamedTuple

from trunkline.training.data.names import Names, named, say
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.table import Row, Table

SPLIT: Final = "split"


class Listed(NamedTuple):
    """name: path of the picture below the root, in its shortest form. sure: not only the end of the path is there."""

    name: str
    path: Path
    sure: bool


class ListedPictures:
    """Finds them; a row of which something is wrong is left out."""

    def __init__(self, table: Table, remarks: Remarks) -> None:
        self._table, self._remarks = table, remarks
        self._root = table.path.parent
        self._names = Names(self._root)

    def picture(self, row: Row, column: str, what: str = "its file") -> Listed | None:
        """The picture in this column; what: what a remark calls it. None where the row is left out."""
        if not row[column]:
            self.leave_out(row, f"{what} is empty")
            return None
        found = self._names.find(row[column])
        if found is None:
            self._remarks.leave_out("picture", Kind.PICTURE_MISSING, self.where(row), f"{what} is missing")
            return None
        say(found, self.where(row), self._root, self._remarks)
        return Listed(named(found.path, self._root, self._remarks), found.path, Kind.PATH_END not in found.read_as)

    def split(self, row: Row) -> str | None:
        """None where the row is left out."""
        if SPLIT not in self._table.columns:
            return NONE
        split = split_named(row[SPLIT])
        if split is None:
            self.leave_out(row, f"the split is none of {', '.join(SPLITS)}")
        return split

    def leave_out(self, row: Row, reason: str) -> None:
        """Leave a row out."""
        self._remarks.leave_out("picture", Kind.ROW, self.where(row), reason)

    def where(self, row: Row) -> str:
        return f"{self._table.path.name}, line {row.line}"
