"""Data sets with a folder per class, as they are or below train/, val/ and test/."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.classes import in_order, require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.names import is_hidden, named
from trunkline.training.data.reading import read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named


@dataclass(frozen=True)
class _Found:
    """A picture, the folder that is its class, and its split."""

    path: Path
    class_name: str
    split: str


def read_folders(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set, or None where no folder holds pictures.

    Names that begin with a dot do not count. Raises DataInvalidError for a folder beside the splits that is none,
    and for fewer than two classes; OSError.
    """
    splits = _splits(root)
    found = [picture for folder, split in splits.items() for picture in _pictures(folder, split)]
    if not found:
        return None
    classes = in_order(picture.class_name for picture in found)
    if all(split_named(name) for name in classes):
        raise DataInvalidError.at(root, f"{', '.join(classes)} hold pictures and no folders of classes")
    require_two(classes, root)
    index = {name: label for label, name in enumerate(classes)}
    samples = tuple(_sample(root, picture, index[picture.class_name], remarks) for picture in found)
    skipped = tuple(_skipped(root, splits, classes))
    for name in skipped:
        remarks.read(Kind.NO_PICTURE, name, "it is left out: no picture of a class by its name and place")
    return Dataset(root, "folders", classes, (), samples, skipped, remarks)


def _splits(root: Path) -> dict[Path, str]:
    """Folders that hold class folders, and the split of each; the root itself where there are no splits."""
    inside = [folder for folder in _folders(root) if _holds_classes(folder)]
    found = {folder: split_named(folder.name) for folder in inside}
    if not any(found.values()):
        return {root: NONE}
    unknown = next((folder for folder, split in found.items() if split is None), None)
    if unknown is not None:
        raise DataInvalidError.at(unknown, f"the split {unknown.name!r} is none of {', '.join(SPLITS)}")
    splits = {folder: split for folder, split in found.items() if split is not None}
    return dict(sorted(splits.items(), key=lambda item: SPLITS.index(item[1])))


def _holds_classes(folder: Path) -> bool:
    """A class may be called "train": its pictures lie in no folders of their own."""
    return any(_is_picture(entry) for inside in _folders(folder) for entry in _entries(inside))


def _pictures(folder: Path, split: str) -> Iterator[_Found]:
    for class_folder in _folders(folder):
        for entry in _entries(class_folder):
            if _is_picture(entry):
                yield _Found(entry, printable(class_folder.name), split)


def _sample(root: Path, picture: _Found, label: int, remarks: Remarks) -> Sample:
    name = named(picture.path, root, remarks)
    return Sample(name, picture.split, label, (), partial(read_picture, picture.path))


def _skipped(root: Path, splits: dict[Path, str], classes: Sequence[str]) -> Iterator[str]:
    """Folders that are no class, files in class folders that are no pictures, and pictures beside class folders.

    An empty folder of a class that has pictures in another split is nothing to speak of.
    """
    beside = [] if root in splits else [entry for entry in _folders(root) if entry not in splits]
    for folder in splits:
        beside += [entry for entry in _entries(folder) if _is_picture(entry)]
        for inside in _folders(folder):
            entries = _entries(inside)
            is_class = any(map(_is_picture, entries)) or (not entries and printable(inside.name) in classes)
            beside += [entry for entry in entries if not _is_picture(entry)] if is_class else [inside]
    for entry in beside:
        yield printable(entry.relative_to(root).as_posix()) + ("/" if entry.is_dir() else "")


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not is_hidden(entry))


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()
