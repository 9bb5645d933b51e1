"""Data sets of pictures with masks: CamVid's layout, and folders `images` and `masks`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.mask_files import MaskNames
from trunkline.training.data.masks import IGNORED, MaskFile
from trunkline.training.data.names import listed, named
from trunkline.training.data.numbers import whole
from trunkline.training.data.reading import read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.table import read_table

_ANNOTATED: Final = "annot"  # CamVid: train/ and trainannot/
_PICTURES, _MASKS = "images", "masks"
CLASSES: Final = "classes.csv"
_ID, _NAME = "class_id", "class_name"
_NO_CLASS: Final = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class _Pair:
    """A folder of pictures, the one of their masks, and the split."""

    pictures: Path
    masks: Path
    split: str


def read_masks(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set, or None where no folder of pictures has one of masks beside it.

    Folders: train/ with trainannot/ and so on; images/ with masks/, also below train/, val/ and test/, or with those
    inside. A mask has the name of its picture, as PNG, or that with an ending such as _mask. `classes.csv` names the
    classes (class_id, class_name): void, ignore and unlabelled are left out of loss and metrics, and so is the value
    255, unless it is the id of a class. Where the classes are 0 and 1 and the masks hold 0 and 255 alone, 255 is 1:
    that is the one case in which masks are decoded here.
    Raises DataInvalidError with the file and the reason; OSError.
    """
    pairs = _pairs(root)
    if not pairs:
        return None
    names, labels = _read_classes(root / CLASSES, remarks)
    samples = tuple(sample for pair in pairs for sample in _samples(root, pair, labels, remarks))
    if not samples:
        why = remarks.first_left_out("picture")
        reason = f"all are left out, the first is {why}" if why else "but no pictures"
        raise DataInvalidError.at(root, f"there are folders for pictures and masks: {reason}")
    samples = _with_255_as_1(samples, labels, root, remarks)
    layout = "camvid" if pairs[0].masks.name.endswith(_ANNOTATED) else "masks"
    return Dataset(root, layout, names, (), samples, remarks=remarks)


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


def _samples(root: Path, pair: _Pair, labels: Mapping[int, int], remarks: Remarks) -> Iterator[Sample]:
    masks = MaskNames(root, pair.masks, remarks)
    for path in listed(pair.pictures, *PICTURE_SUFFIXES):
        name = named(path, root, remarks)
        mask = masks.of(path, name)
        if mask is not None:
            file = MaskFile(printable(mask.relative_to(root).as_posix()), partial(read_picture, mask), labels)
            yield Sample(name, pair.split, None, (), partial(read_picture, path), mask=file)


def _with_255_as_1(
    samples: Sequence[Sample], labels: Mapping[int, int], root: Path, remarks: Remarks
) -> tuple[Sample, ...]:
    """The usual masks of one thing, where classes.csv counts 0 and 1; otherwise the samples as they are."""
    if set(labels) != {0, 1, IGNORED} or labels[IGNORED] != IGNORED or IGNORED in (labels[0], labels[1]):
        return tuple(samples)
    seen: set[int] = set()
    for sample in samples:
        assert isinstance(sample.mask, MaskFile)
        seen |= sample.mask.values_in()
        if 1 in seen:
            return tuple(samples)
    if seen != {0, IGNORED}:
        return tuple(samples)
    remarks.read(Kind.MASK_FORM, CLASSES, "the masks hold 0 and 255 alone, no 1: 255 is read as the class of id 1")
    both = {**labels, IGNORED: labels[1]}
    return tuple(replace(each, mask=replace(each.mask, labels=both)) for each in samples)  # type: ignore[type-var]


def _read_classes(path: Path, remarks: Remarks) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of the classes in the order of their ids, and the label of each value of a pixel."""
    if not path.is_file():
        raise DataInvalidError.at(path, f"the names of the classes are missing: columns {_ID},{_NAME}")
    table = read_table(path, remarks)
    for column in (_ID, _NAME):
        if column not in table.columns:
            raise DataInvalidError.at(path, f"there is no column {column!r} among its {len(table.columns)}", 1)
    classes: dict[int, str] = {}
    for row in table.rows:
        value = whole(row[_ID])
        if value is None or not 0 <= value <= IGNORED:
            raise DataInvalidError.at(path, f"the value in column {_ID!r} is no number from 0 to {IGNORED}", row.line)
        if classes.setdefault(value, row[_NAME]) != row[_NAME]:
            raise DataInvalidError.at(path, "its class had another name before", row.line)
    real = [value for value in sorted(classes) if not is_void(classes[value])]
    names = tuple(classes[value] for value in real)
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataInvalidError.at(path, "segmentation needs two or more classes, each with a name of its own")
    labels = dict.fromkeys((*classes, IGNORED), IGNORED) | {value: label for label, value in enumerate(real)}
    return names, labels


def is_void(name: str) -> bool:
    """Whether this is what people call pixels of no class."""
    return name.strip().lower() in _NO_CLASS
