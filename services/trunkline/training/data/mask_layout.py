"""Data sets of pictures with masks: CamVid's layout, and folders `images` and `masks`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.folder_layout import PICTURE_SUFFIXES
from trunkline.training.data.masks import IGNORED, MaskFile
from trunkline.training.data.reading import read_picture
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.table import read_table

_ANNOTATED: Final = "annot"  # CamVid: train/ and trainannot/
_PICTURES, _MASKS = "images", "masks"
CLASSES: Final = "classes.csv"
_ID, _NAME = "class_id", "class_name"
_DIGITS: Final = 10
_NO_CLASS: Final = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class _Pair:
    """A folder of pictures, the one of their masks, and the split."""

    pictures: Path
    masks: Path
    split: str


def read_masks(root: Path) -> Dataset | None:
    """The data set, or None where no folder of pictures has one of masks beside it.

    Folders: train/ with trainannot/ and so on; images/ with masks/, also below train/, val/ and test/, or with those
    inside. A mask has the name of its picture, as PNG. `classes.csv` names the classes (class_id, class_name): void,
    ignore and unlabelled are left out of loss and metrics, and so is the value 255.
    Raises DataInvalidError with the file and the reason; OSError.
    """
    pairs = _pairs(root)
    if not pairs:
        return None
    names, labels = _read_classes(root / CLASSES)
    samples = tuple(sample for pair in pairs for sample in _samples(root, pair, labels))
    if not samples:
        raise DataInvalidError.at(root, "there are folders for pictures and masks, but no pictures")
    layout = "camvid" if pairs[0].masks.name.endswith(_ANNOTATED) else "masks"
    return Dataset(root, layout, names, (), samples)


def _pairs(root: Path) -> list[_Pair]:
    splits = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and split_named(folder.name)]
    found = [_Pair(folder, root / (folder.name + _ANNOTATED), _split(folder)) for folder in splits]
    found += [_Pair(folder / _PICTURES, folder / _MASKS, _split(folder)) for folder in splits]
    inside = root / _PICTURES
    if inside.is_dir():
        parts = [part for part in sorted(inside.iterdir()) if part.is_dir() and split_named(part.name)]
        found += [_Pair(part, root / _MASKS / part.name, _split(part)) for part in parts]
        if not parts:
            found.append(_Pair(inside, root / _MASKS, NONE))
    there = [pair for pair in found if pair.pictures.is_dir() and pair.masks.is_dir()]
    return sorted(there, key=lambda pair: (*SPLITS, NONE).index(pair.split))


def _split(folder: Path) -> str:
    return split_named(folder.name) or NONE


def _samples(root: Path, pair: _Pair, labels: Mapping[int, int]) -> Iterator[Sample]:
    for path in sorted(pair.pictures.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        name = path.relative_to(root).as_posix()
        mask = pair.masks / f"{path.stem}.png"
        if not mask.is_file():
            raise DataInvalidError.at(name, f"there is no mask {mask.relative_to(root).as_posix()}")
        file = MaskFile(mask.relative_to(root).as_posix(), partial(read_picture, mask), labels)
        yield Sample(name, pair.split, None, (), partial(read_picture, path), mask=file)


def _read_classes(path: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of the classes in the order of their ids, and the label of each value of a pixel."""
    if not path.is_file():
        raise DataInvalidError.at(path, f"the names of the classes are missing: columns {_ID},{_NAME}")
    table = read_table(path)
    for column in (_ID, _NAME):
        if column not in table.columns:
            raise DataInvalidError.at(path, f"there is no column {column!r} among its {len(table.columns)}", 1)
    named: dict[int, str] = {}
    for row in table.rows:
        text = row[_ID]
        if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS and int(text) <= IGNORED):
            raise DataInvalidError.at(path, f"the value in column {_ID!r} is no number from 0 to {IGNORED}", row.line)
        if named.setdefault(int(text), row[_NAME]) != row[_NAME]:
            raise DataInvalidError.at(path, "its class had another name before", row.line)
    real = [value for value in sorted(named) if named[value].lower() not in _NO_CLASS and value != IGNORED]
    names = tuple(named[value] for value in real)
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataInvalidError.at(path, "segmentation needs two or more classes, each with a name of its own")
    labels = dict.fromkeys((*named, IGNORED), IGNORED) | {value: label for label, value in enumerate(real)}
    return names, labels
