"""A data set in any format that is read, written in another one."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import shown
from trunkline.training.convert.coco import write_coco
from trunkline.training.convert.folders import write_folders
from trunkline.training.convert.voc import write_voc
from trunkline.training.convert.writing import Job
from trunkline.training.convert.yolo import write_yolo
from trunkline.training.data.check import look_through
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.splits import NONE, SPLITS

_WRITERS: Final = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc, "folders": write_folders}
FORMATS: Final = tuple(_WRITERS)
_LIKENESSES: Final = ("pairs", "omniglot")

Progress = Callable[[str, int, int], None]  # what is done, how many, of all


@dataclass(frozen=True)
class Converted:
    """What was written. layout: of the source. splits: pictures by split. objects: 0 for classes of whole pictures.

    remarks: on the source, and on what the format cannot hold.
    """

    layout: str
    splits: Mapping[str, int]
    classes: tuple[str, ...]
    objects: int
    remarks: Remarks


def convert(source: Path, target: Path, form: str, progress: Progress, *, link: bool = False) -> Converted:
    """Write the data set in `source` in a format of FORMATS into the folder `target`, whole or not at all.

    What is broken in the source is left out as training does. link: pictures are hard links where they are files.
    Raises DataInvalidError for a source that cannot be read, for a target that is there and not empty, and for what
    the format cannot hold at all; OSError.
    """
    if form not in _WRITERS:
        raise DataInvalidError(f"there is no format {shown(form)!r} to write; there are {', '.join(FORMATS)}")
    _require_free(source, target)
    dataset = _sound(source, form, progress)
    remarks = dataset.remarks
    before = remarks.left_out["object"]
    with _stage(target) as stage:
        _WRITERS[form](Job(dataset, stage, link, remarks, lambda done, of: progress("writing", done, of)))
    counts = [sum(sample.split == split for sample in dataset.samples) for split in (*SPLITS, NONE)]
    splits = {split: count for split, count in zip((*SPLITS, NONE), counts, strict=True) if count}
    objects = sum(len(sample.objects or ()) for sample in dataset.samples)
    objects -= remarks.left_out["object"] - before
    return Converted(dataset.layout, splits, dataset.classes, objects, remarks)


def _sound(source: Path, form: str, progress: Progress) -> Dataset:
    """The data without what is broken in it."""
    dataset = read_dataset(source, task="classification" if form == "folders" else "detection")
    if dataset.layout in _LIKENESSES:
        raise DataInvalidError.at(source, "the data says what is alike, which folders of classes cannot hold")
    if not dataset.classes and form == "folders":
        raise DataInvalidError.at(source, "the data has no classes, and folders hold nothing else")
    _, unsound, remarks = look_through(dataset, progress=lambda done, of: progress("looking at pictures", done, of))
    if remarks.faults:
        more = len(remarks.faults) - 1
        raise DataInvalidError(remarks.faults[0] + (f"; and {more} more" if more else ""))
    sound = unsound.left_out_of(dataset)
    if not sound.samples:
        reason = f"all pictures are left out, the first is {remarks.first_left_out('picture')}"
        raise DataInvalidError.at(source, reason)
    return Dataset(sound.root, sound.layout, sound.classes, (), sound.samples, remarks=remarks)


def _require_free(source: Path, target: Path) -> None:
    base = source.parent if source.is_file() else source
    if target.resolve().is_relative_to(base.resolve()):
        raise DataInvalidError.at(target, "it lies in the data set that is read: name a folder outside of it")
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise DataInvalidError.at(target, "it is there and is no empty folder: name another one")


@contextmanager
def _stage(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place at the end; removed where anything fails."""
    target = target.resolve()
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=parent))
    try:
        yield stage
        mask = os.umask(0)
        os.umask(mask)
        stage.chmod(0o777 & ~mask)
        stage.rename(target)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
