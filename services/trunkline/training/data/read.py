"""Finds out how a data set lies in its folder, and reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.csv_layout import FILE, read_csv
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.folder_layout import read_folders
from trunkline.training.data.idx_layout import has_idx, read_idx
from trunkline.training.data.mask_layout import read_masks
from trunkline.training.data.omniglot_layout import read_omniglot
from trunkline.training.data.pair_layout import FILE as PAIRS_FILE
from trunkline.training.data.pair_layout import has_pairs, read_pairs
from trunkline.training.data.table import read_columns
from trunkline.training.data.turned import ANGLE, turned

_TABLE = "labels.csv"
_KNOWN: Final = (
    "a folder per class, also below train/, val/ and test/; a CSV file file,label[,split] or file,target…[,split]; "
    "folders of pictures and masks with classes.csv; a CSV file a,b,same[,split] of pairs; those of flowers102, "
    "pets, bccd (CSV), mnist (idx), camvid and omniglot"
)


def read_dataset(root: Path, *, targets: Sequence[str] = ()) -> Dataset:
    """The data set in a folder, or the one of a CSV file. No picture is opened.

    targets: the columns to learn, for regression; without any, the labels, or else all columns of numbers. The
    digits of mnist have the target "angle": each is turned by one.
    Raises DataInvalidError with the file, the line where there is one, and the reason; OSError.
    """
    masks = read_masks(root) if root.is_dir() else None
    if masks is not None and not targets:
        return masks
    pairs = root if root.suffix == ".csv" else root / PAIRS_FILE
    if not targets and has_pairs(pairs):
        return read_pairs(pairs)
    omniglot = read_omniglot(root) if root.is_dir() else None
    if omniglot is not None and not targets:
        return omniglot
    table = root if root.suffix == ".csv" and root.is_file() else _table(root)
    if table is not None:
        return read_csv(table, targets)
    if has_idx(root) and tuple(targets) == (ANGLE,):
        return turned(read_idx(root))
    dataset = read_idx(root) if has_idx(root) else read_folders(root)
    if dataset is None:
        raise DataInvalidError.at(root, f"no layout of a data set that is known here; known: {_KNOWN}")
    if targets:
        raise DataInvalidError.at(root, f"there is no target {targets[0]!r}: this layout has classes only")
    return dataset


def _table(root: Path) -> Path | None:
    """labels.csv, or the one CSV file that has a column `file`."""
    if not root.is_dir():
        raise DataInvalidError.at(root, "there is no such folder")
    if (root / _TABLE).is_file():
        return root / _TABLE
    lists = [path for path in sorted(root.glob("*.csv")) if path.is_file() and FILE in read_columns(path)]
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        raise DataInvalidError.at(root, f"{names} all have a column 'file': name the one to read, or {_TABLE}")
    return lists[0] if lists else None
