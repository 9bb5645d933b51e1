"""Finds out how a data set lies in its folder, and reads it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeGuard

from trunkline.core.errors import DataInvalidError
from trunkline.core.task import Truth
from trunkline.core.tasks import known, task_of
from trunkline.core.text import shown
from trunkline.training.data.class_names import plainly_named
from trunkline.training.data.csv_layout import FILE, read_csv
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.flaw_layout import has_flaws, read_flaws
from trunkline.training.data.folder_layout import read_folders
from trunkline.training.data.idx_layout import has_idx, read_idx
from trunkline.training.data.mask_layout import CLASSES, read_masks
from trunkline.training.data.names import listed
from trunkline.training.data.object_layouts import read_objects
from trunkline.training.data.omniglot_layout import read_omniglot
from trunkline.training.data.painted import PaintedMask, painted
from trunkline.training.data.pair_layout import FILE as PAIRS_FILE
from trunkline.training.data.pair_layout import has_pairs, read_pairs
from trunkline.training.data.points_layout import read_points
from trunkline.training.data.presence import presence
from trunkline.training.data.reading import is_there, require_allowed, unreadable
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.scan import scan
from trunkline.training.data.table import read_columns, read_table
from trunkline.training.data.tools import read_tags
from trunkline.training.data.turned import ANGLE, turned
from trunkline.training.data.voc_masks import has_voc_masks, read_voc_masks

_TABLE = "labels.csv"
_MOST_CLASSES: Final = 100_000
NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})
_KNOWN: Final = (
    "a folder per class, also below train/, val/ and test/; a CSV file file,label[,split] or file,target…[,split]; "
    "folders of pictures and masks with classes.csv, or VOC's JPEGImages and SegmentationClass; boxes and outlines "
    "in COCO's JSON, Pascal VOC's XML, YOLO's text or the files of labelme "
    "and other tools that label; a CSV file a,b,same[,split] of pairs; good images, also with flawed ones for "
    "testing, as MVTec has them; those of flowers102, pets, bccd (CSV), mnist (idx), camvid and omniglot"
)


class Wanted(NamedTuple):
    """A task, and what it learns from."""

    task: str
    truth: Truth


def _is(wanted: Wanted | None, truth: Truth) -> TypeGuard[Wanted]:
    return wanted is not None and wanted.truth == truth


def _learning_from(*truths: Truth) -> str:
    return " or ".join(name for name, task in known().by_name.items() if task.truth in truths)


def read_dataset(
    root: Path, *, targets: Sequence[str] = (), task: str | None = None, options: Mapping[str, Any] = NO_OPTIONS
) -> Dataset:
    """The data set in a folder, or the one of a CSV file or of a JSON file of COCO's. No picture is decoded.

    What is not as it should be is treated by the rule in remarks.py, and said in `remarks` of the data set.

    targets: the columns to learn, for regression; without any, the labels, or else all columns of numbers. The
    digits of mnist have the target "angle": each is turned by one.
    task: what is to be learned, as a folder may be read in several ways: by what its truth is (core/task.py). Objects
    are taken as they are; masks are read, or else painted from the outlines of objects. Without a task and targets it
    is what there is first of masks, objects, and classes or numbers.
    options: of the task. Where its truth is several labels, what there is says them (presence.py).
    Raises DataInvalidError with the file, the line where there is one, and the reason, DataForbiddenError where this
    process may not read it.
    """
    try:
        scan(root)
        wanted = Wanted(task, task_of(task).truth_of(options)) if task else None
        if _is(wanted, "labels"):
            dataset = plainly_named(presence(_read(root, targets, None, Remarks())))
        else:
            dataset = plainly_named(_read(root, targets, wanted, Remarks()))
    except OSError as error:
        raise unreadable(root, error) from error
    if len(dataset.classes) > _MOST_CLASSES:
        raise DataInvalidError.at(root, f"there are {len(dataset.classes)} classes; the limit is {_MOST_CLASSES}")
    _require_something(dataset, wanted)
    return dataset


def _require_something(dataset: Dataset, wanted: Wanted | None) -> None:
    """Raises DataInvalidError for data without what the task needs; a fault where all of it was left out."""
    remarks, where = dataset.remarks, dataset.root.name
    if _is(wanted, "masks") and dataset.samples and not any(sample.mask for sample in dataset.samples):
        reason = f"no masks and no outlines: {wanted.task} needs pictures with masks, or objects with outlines"
        raise DataInvalidError.at(dataset.root, reason)
    pictures, objects = remarks.left_out["picture"], remarks.left_out["object"]
    if not dataset.samples and pictures and not remarks.faults:
        remarks.fault(
            where, f"all {pictures} pictures are left out, the first is {remarks.first_left_out('picture')}"
        )
    elif objects and dataset.samples and not any(_has_objects(sample) for sample in dataset.samples):
        remarks.fault(where, f"all {objects} objects are left out, the first is {remarks.first_left_out('object')}")


def _has_objects(sample: Sample) -> bool:
    return bool(sample.objects or sample.points or (isinstance(sample.mask, PaintedMask) and sample.mask.objects))


def _read(root: Path, targets: Sequence[str], wanted: Wanted | None, remarks: Remarks) -> Dataset:
    if not is_there(root):
        raise DataInvalidError.at(root, "there is no such folder")
    if _is(wanted, "objects"):
        return _objects(root, wanted.task, remarks)
    if _is(wanted, "flaws") or (wanted is None and not targets and has_flaws(root)):
        return _flaws(root, remarks)
    if _is(wanted, "points"):
        return _points(root, wanted.task, remarks)
    if not targets and not _is(wanted, "numbers"):
        found = _likenesses(root, remarks) or _placed(root, wanted, remarks)
        if found is not None:
            return found
    return _plain(root, targets, remarks)


def _likenesses(root: Path, remarks: Remarks) -> Dataset | None:
    """Data that says what is alike and tests it by classes of its own; None for all other."""
    pairs = root if _is_csv(root) else root / PAIRS_FILE
    if has_pairs(pairs):
        return read_pairs(pairs, remarks)
    return read_omniglot(root, remarks) if root.is_dir() else None


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _objects(root: Path, task: str, remarks: Remarks) -> Dataset:
    dataset = read_objects(root, remarks)
    if dataset is None:
        reason = f"no objects; {task} needs boxes: COCO's JSON, Pascal VOC's XML, YOLO's text or a tool's own file"
        raise DataInvalidError.at(root, reason)
    return dataset


def _flaws(root: Path, remarks: Remarks) -> Dataset:
    dataset = read_flaws(root, remarks)
    if dataset is None:
        reason = "no good pictures: they lie in train/good as in MVTec's layout, in good/, or in the folder itself"
        raise DataInvalidError.at(root, reason)
    return dataset


def _points(root: Path, task: str, remarks: Remarks) -> Dataset:
    table = root if _is_csv(root) and root.is_file() else _table(root) if root.is_dir() else None
    dataset = read_points(root, table, remarks)
    if dataset is None:
        reason = f"no named points; {task} needs COCO's JSON with key points, YOLO's poses or a CSV file file,x1,y1,…"
        raise DataInvalidError.at(root, reason)
    return dataset


def _placed(root: Path, wanted: Wanted | None, remarks: Remarks) -> Dataset | None:
    """Data with masks or objects; None where it has neither, or classes beside them for the task."""
    if root.is_dir() and (root / CLASSES).is_file():
        masks = read_masks(root, remarks)
        if masks is not None:
            return masks
    if root.is_dir() and has_voc_masks(root) and (wanted is None or _is(wanted, "masks")):
        return read_voc_masks(root, remarks)
    if wanted is None or _is(wanted, "masks"):
        objects = read_objects(root, remarks)
        if objects is not None:
            return painted(objects) if wanted else objects
    if not _is(wanted, "masks"):
        tagged = read_tags(root, remarks)
        if tagged is not None:
            return tagged
    if wanted and wanted.truth != "masks" and not root.is_file() and not has_idx(root) and _table(root) is None:
        _refuse_objects(root, wanted.task)
    return read_masks(root, remarks) if root.is_dir() else None  # says what is missing where masks are there


def _refuse_objects(root: Path, task: str) -> None:
    """Otherwise folders such as images/ and masks/ would be taken for classes."""
    found = None
    with suppress(DataInvalidError):
        found = read_objects(root, Remarks())
    if has_voc_masks(root):
        reason = f"pictures with masks, which are for --task {_learning_from('masks')}; {task} needs classes"
        raise DataInvalidError.at(root, reason)
    if found is not None:
        reason = (
            f"pictures with boxes, which are for --task {_learning_from('objects', 'masks')}; {task} needs classes"
        )
        raise DataInvalidError.at(root, reason)


def rows_of(root: Path, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file by its name in the folder of the data, or for "" of the one that names the pictures.

    Raises DataInvalidError, DataForbiddenError.
    """
    folder = root.parent if _is_csv(root) else root
    own = root if _is_csv(root) else None if name else _table(root)
    path = folder / name if name else own
    if path is None:
        raise DataInvalidError.at(root, "there is no CSV file that names the pictures")
    require_allowed(path)
    try:
        table = read_table(path, Remarks())
    except OSError as error:
        raise unreadable(path, error) from error
    return [{column: row[column] for column in table.columns} for row in table.rows]


def _plain(root: Path, targets: Sequence[str], remarks: Remarks) -> Dataset:
    """Classes or numbers."""
    table = root if _is_csv(root) and root.is_file() else _table(root)
    if table is not None:
        return read_csv(table, targets, remarks)
    if has_idx(root) and tuple(targets) == (ANGLE,):
        return turned(read_idx(root, remarks))
    dataset = read_idx(root, remarks) if has_idx(root) else read_folders(root, remarks)
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
    lists = [path for path in listed(root, ".csv") if path.is_file() and FILE in read_columns(path)]
    if len(lists) > 1:
        names = shown(", ".join(path.name for path in lists))
        raise DataInvalidError.at(root, f"{names} all have a column 'file': name the one to read, or {_TABLE}")
    return lists[0] if lists else None
