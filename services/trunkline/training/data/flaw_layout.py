"""Good pictures, and others with flaws to measure on: MVTec's layout, or a folder of good pictures alone."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.masks import MaskFile
from trunkline.training.data.names import is_hidden, listed, named
from trunkline.training.data.reading import read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import split_named

LAYOUT: Final = "flaws"
_GOOD, _MASKS = "good", "ground_truth"
_MASK_ENDINGS: Final = ("_mask", "")
_HELD_BACK: Final = 0.2  # share of the good pictures, for each split that the data does not have


def has_flaws(root: Path) -> bool:
    """Whether this is MVTec's layout, with masks: what is read so where nobody says what is to be learned."""
    return (root / _MASKS).is_dir() and (root / "train" / _GOOD).is_dir()


def read_flaws(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set; None where there are no good pictures. Label 0 is good, the others are kinds of flaws.

    MVTec's layout: train/good, test/good and test/KIND with masks ground_truth/KIND/NAME_mask.png or NAME.png, all
    values above 0 of which are flawed; validation/good where it is there. Or good pictures alone, in the folder, in
    good/ or in train/good. A fifth of the good pictures for training is held back for each of validation and test
    that is not there; which ones follows from their names, so that it is the same each time.
    Raises DataInvalidError; OSError.
    """
    if not root.is_dir():
        return None
    folders = _folders(root)
    kinds = sorted({folder.name for folder, split in folders if split == "test" and folder.name != _GOOD})
    classes = (_GOOD, *map(printable, kinds))
    labels = {_GOOD: 0} | {kind: label for label, kind in enumerate(kinds, 1)}
    samples: list[Sample] = []
    for folder, split in folders:
        label = labels[folder.name] if folder != root else 0
        samples += _samples(root, folder, split, label, remarks)
    if not any(each.split == "train" for each in samples):
        return None
    return Dataset(root, LAYOUT, classes, (), tuple(_held_back(samples)), remarks=remarks)


def _folders(root: Path) -> list[tuple[Path, str]]:
    """Those that hold pictures of one kind, and the split of each."""
    splits = [(part, split_named(part.name)) for part in _inside(root)]
    parts = [(part, split) for part, split in splits if split and (part / _GOOD).is_dir()]
    if any(split == "train" for _, split in parts):
        found = [(part / _GOOD, split) for part, split in parts]
        return found + [
            (kind, "test") for part, split in parts if split == "test" for kind in _inside(part) if kind.name != _GOOD
        ]
    return [(root / _GOOD if (root / _GOOD).is_dir() else root, "train")]


def _inside(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not is_hidden(each))


def _samples(root: Path, folder: Path, split: str, label: int, remarks: Remarks) -> Iterator[Sample]:
    masks = _masks_of(root / _MASKS / folder.name) if label else {}
    for path in listed(folder, *PICTURE_SUFFIXES):
        name = named(path, root, remarks)
        sample = Sample(name, split, label, (), partial(read_picture, path))
        mask = next((masks[path.stem + end] for end in _MASK_ENDINGS if path.stem + end in masks), None)
        if mask is not None:
            # Each value above 0 is the flaw: some tools number its parts.
            values: Mapping[int, int] = {0: 0} | dict.fromkeys(range(1, 256), label)
            file = MaskFile(printable(mask.relative_to(root).as_posix()), partial(read_picture, mask), values)
            sample = replace(sample, mask=file)
        elif masks:
            remarks.read(Kind.MASK, name, f"it has no mask in {_MASKS}: its places are not measured")
        yield sample


def _masks_of(folder: Path) -> dict[str, Path]:
    """By name without suffix; those without loss alone."""
    return {path.stem: path for path in listed(folder, ".png", ".bmp", ".tif", ".tiff")} if folder.is_dir() else {}


def _held_back(samples: Sequence[Sample]) -> Iterator[Sample]:
    train = [sample for sample in samples if sample.split == "train"]
    lacking = [split for split in ("val", "test") if not any(each.split == split for each in samples)]
    order = sorted((each.name for each in train), key=lambda name: hashlib.sha256(name.encode()).digest())
    count = round(_HELD_BACK * len(train))
    if lacking and not count:
        raise DataInvalidError.at("train", f"{len(train)} good pictures are too few: some have to be held back")
    moved = {name: split for at, split in enumerate(lacking) for name in order[at * count : (at + 1) * count]}
    return (replace(each, split=moved.get(each.name, each.split)) for each in samples)
