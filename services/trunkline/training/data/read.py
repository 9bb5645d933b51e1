"""Finds out how a data set lies in its folder, and reads it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import shown
from trunkline.training.data.csv_layout import FILE, read_csv
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.folder_layout import read_folders
from trunkline.training.data.idx_layout import has_idx, read_idx
from trunkline.training.data.mask_layout import CLASSES, read_masks
from trunkline.training.data.object_layouts import read_objects
from trunkline.training.data.omniglot_layout import read_omniglot
from trunkline.training.data.painted import painted
from trunkline.training.data.pair_layout import FILE as PAIRS_FILE
from trunkline.training.data.pair_layout import has_pairs, read_pairs
from trunkline.training.data.reading import is_there, unreadable
from trunkline.training.data.scan import scan
from trunkline.training.data.table import read_columns
from trunkline.training.data.turned import ANGLE, turned

_TABLE = "labels.csv"
_MOST_CLASSES: Final = 100_000
_KNOWN: Final = (
    "a folder per class, also below train/, val/ and test/; a CSV file file,label[,split] or file,target…[,split]; "
    "folders of pictures and masks with classes.csv; boxes and outlines in COCO's JSON, Pascal VOC's XML or YOLO's "
    "text; a CSV file a,b,same[,split] of pairs; those of flowers102, pets, bccd (CSV), mnist (idx), camvid and "
    "omniglot"
)


def read_dataset(root: Path, *, targets: Sequence[str] = (), task: str | None = None) -> Dataset:
    """The data set in a folder, or the one of a CSV file or of a JSON file of COCO's. No picture is decoded.

    targets: the columns to learn, for regression; without any, the labels, or else all columns of numbers. The
    digits of mnist have the target "angle": each is turned by one.
    task: what is to be learned, as a folder may be read in several ways. Detection takes objects; segmentation takes
    masks, or else paints the outlines of objects; the others take classes or numbers. Without a task and targets it
    is what there is first of masks, objects, and classes or numbers.
    Raises DataInvalidError with the file, the line where there is one, and the reason, DataForbiddenError where this
    process may not read it.
    """
    try:
        scan(root)
        dataset = _read(root, targets, task)
    except OSError as error:
        raise unreadable(root, error) from error
    if len(dataset.classes) > _MOST_CLASSES:
        raise DataInvalidError.at(root, f"there are {len(dataset.classes)} classes; the limit is {_MOST_CLASSES}")
    return dataset


def _read(root: Path, targets: Sequence[str], task: str | None) -> Dataset:
    if not is_there(root):
        raise DataInvalidError.at(root, "there is no such folder")
    if task == "detection":
        return _objects(root)
    if not targets and task != "regression":
        found = _likenesses(root) or _placed(root, task)
        if found is not None:
            return found
    return _plain(root, targets)


def _likenesses(root: Path) -> Dataset | None:
    """Data that says what is alike and tests it by classes of its own; None for all other."""
    pairs = root if root.suffix == ".csv" else root / PAIRS_FILE
    if has_pairs(pairs):
        return read_pairs(pairs)
    return read_omniglot(root) if root.is_dir() else None


def _objects(root: Path) -> Dataset:
    dataset = read_objects(root)
    if dataset is None:
        reason = "no objects; detection needs boxes in COCO's JSON, Pascal VOC's XML or YOLO's text"
        raise DataInvalidError.at(root, reason)
    return dataset


def _placed(root: Path, task: str | None) -> Dataset | None:
    """Data with masks or objects; None where it has neither, or classes beside them for the task."""
    if root.is_dir() and (root / CLASSES).is_file():
        masks = read_masks(root)
        if masks is not None:
            return masks
    if task is None or task == "segmentation":
        objects = read_objects(root)
        if objects is not None:
            return painted(objects) if task else objects
    elif not root.is_file() and not has_idx(root) and _table(root) is None:
        _refuse_objects(root, task)
    return read_masks(root) if root.is_dir() else None  # says what is missing where masks are there


def _refuse_objects(root: Path, task: str) -> None:
    """Otherwise folders such as images/ and masks/ would be taken for classes."""
    found = None
    with suppress(DataInvalidError):
        found = read_objects(root)
    if found is not None:
        reason = f"pictures with boxes, which are for --task detection or segmentation; {task} needs classes"
        raise DataInvalidError.at(root, reason)


def _plain(root: Path, targets: Sequence[str]) -> Dataset:
    """Classes or numbers."""
    table = root if root.suffix == ".csv" and root.is_file() else _table(root)
    if table is not None:
        return read_csv(table, targets)
    if has_idx(root) and tuple(targets) == (ANGLE,):
        return turned(read_idx(root))
    dataset = read_idx(root) if has_idx(root) else read_folders(root)
    if dataset is None:
        raise DataInvalidError.at(root, f"no layout of a data set that is known here; known: {_KNOWN}")
    if targets:
        raise DataInvalidError.at(root, f"there is no target {shown(targets[0])!r}: this layout has classes only")
    return dataset


def _table(root: Path) -> Path | None:
    """labels.csv, or the one CSV file that has a column `file`."""
    if not root.is_dir():
        raise DataInvalidError.at(root, "there is no such folder")
    if (root / _TABLE).is_file():
        return root / _TABLE
    lists = [path for path in sorted(root.glob("*.csv")) if path.is_file() and FILE in read_columns(path)]
    if len(lists) > 1:
        names = shown(", ".join(path.name for path in lists))
        raise DataInvalidError.at(root, f"{names} all have a column 'file': name the one to read, or {_TABLE}")
    return lists[0] if lists else None
