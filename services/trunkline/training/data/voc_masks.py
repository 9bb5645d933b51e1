"""Data sets in Pascal VOC's layout for segmentation: JPEGImages/ and SegmentationClass/, as CVAT exports it too.

Source: Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 88 (2010), and its development kit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.mask_layout import is_void
from trunkline.training.data.masks import IGNORED, UNKNOWN, Note, decode_picture, no_note, require_size
from trunkline.training.data.names import Names, listed, named
from trunkline.training.data.reading import read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.texts import lines_of_text, read_text

_MASKS, _PICTURES = "SegmentationClass", ("JPEGImages", "PNGImages", "images")
_LISTS, _LABELS = "ImageSets/Segmentation", "labelmap.txt"
_BORDER: Final = (224, 224, 192)
_VOC: Final = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_MOST_BYTES = 256

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ColourMask:
    """A mask whose colours are classes. labels: by colour; order: labels of the values of a mask without colours."""

    name: str
    read: Callable[[], bytes]
    labels: Mapping[Colour, int]
    order: tuple[int, ...]

    def load(self, size: tuple[int, int] | None = None, note: Note = no_note) -> np.ndarray:
        """uint8 (H, W): labels, or IGNORED. size: (width, height) that it must have.

        Raises DataInvalidError that names the file for a mask that cannot be read, has another size or a colour that
        is of no class.
        """
        picture = decode_picture(self.read, self.name)
        if picture.mode in ("L", "1"):
            values = np.asarray(picture.convert("L"))
            table = np.full(256, UNKNOWN, np.uint8)
            table[: len(self.order)] = self.order
            table[IGNORED] = IGNORED
            labels: np.ndarray = table[values]
        else:
            labels = self._of_colours(np.asarray(picture.convert("RGB"), np.uint32))
        require_size(self.name, labels, size)
        if (labels == UNKNOWN).any():
            raise DataInvalidError.at(self.name, f"the mask has a colour that is of no class: is it in {_LABELS}?")
        return labels

    def relabelled(self, labels: Sequence[int]) -> "ColourMask":
        """The same mask with other labels: `labels` by the old ones."""
        new = {label: label if label == IGNORED else labels[label] for label in {*self.labels.values(), *self.order}}
        changed = {colour: new[label] for colour, label in self.labels.items()}
        return replace(self, labels=changed, order=tuple(new[label] for label in self.order))

    def _of_colours(self, pixels: np.ndarray) -> np.ndarray:
        """pixels: uint32 (H, W, 3)"""
        coded = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
        found, places = np.unique(coded, return_inverse=True)
        known = {(red << 16) | (green << 8) | blue: label for (red, green, blue), label in self.labels.items()}
        table = np.array([known.get(int(code), UNKNOWN) for code in found], np.uint8)
        labels: np.ndarray = table[places].reshape(coded.shape)
        return labels


def has_voc_masks(root: Path) -> bool:
    """Whether a folder has VOC's folders of pictures and masks."""
    return (root / _MASKS).is_dir() and any((root / name).is_dir() for name in _PICTURES)


def read_voc_masks(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set, or None where the folders are not there. Each mask in SegmentationClass/ is a sample.

    Colours are classes: those of labelmap.txt (`name:red,green,blue:…`), or else the 21 of VOC. Void and VOC's border
    count neither in the loss nor in the metrics. ImageSets/Segmentation/train.txt and so on name the splits.
    Raises DataInvalidError with the file and the reason; OSError.
    """
    if not has_voc_masks(root):
        return None
    names, labels, order = _classes(root, remarks)
    lists, pictures = _lists(root, remarks), Names(root)
    folders = [root / name for name in _PICTURES if (root / name).is_dir()]
    samples = []
    for mask in listed(root / _MASKS, ".png"):
        name = printable(mask.relative_to(root).as_posix())
        split = lists.get(mask.stem) if lists else NONE
        if split is None:
            remarks.leave_out("picture", Kind.UNLISTED, name, "it is in the list of no split")
            continue
        # By the very name first; suffixes in upper case are found too.
        likely = (pictures.find(mask.stem + end, folders) for end in sorted(PICTURE_SUFFIXES))
        found = next(filter(None, likely), None)
        if found is None:
            remarks.leave_out("picture", Kind.PICTURE_MISSING, name, "its picture is missing")
            continue
        picture = named(found.path, root, remarks)
        truth = ColourMask(name, partial(read_picture, mask), labels, order)
        samples.append(Sample(picture, split, None, (), partial(read_picture, found.path), mask=truth))
    if not samples:
        why = remarks.first_left_out("picture") or "there are no masks"
        raise DataInvalidError.at(root / _MASKS, f"no picture is left: {why}")
    samples.sort(key=lambda sample: (*SPLITS, NONE).index(sample.split))
    return Dataset(root, "voc-masks", names, (), tuple(samples), remarks=remarks)


def _classes(root: Path, remarks: Remarks) -> tuple[tuple[str, ...], dict[Colour, int], tuple[int, ...]]:
    """Names, label by colour, and labels in the order in which the file has them."""
    path = root / _LABELS
    given = _labelmap(path, remarks) if path.is_file() else list(zip(_VOC, map(_voc_colour, range(21)), strict=True))
    names = tuple(name for name, _ in given if not is_void(name))
    if len(names) < 2 or len(set(names)) < len(names) or len({colour for _, colour in given}) < len(given):
        reason = "segmentation needs two or more classes, each with a name and a colour of its own"
        raise DataInvalidError.at(path, reason)
    index = {name: label for label, name in enumerate(names)}
    order = tuple(index.get(name, IGNORED) for name, _ in given)
    labels = {_BORDER: IGNORED} | {colour: label for (_, colour), label in zip(given, order, strict=True)}
    return names, labels, order


def _labelmap(path: Path, remarks: Remarks) -> list[tuple[str, Colour]]:
    found = []
    for number, line in enumerate(lines_of_text(read_text(path, path.name, remarks)), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        sides = [side.strip() for side in rest.partition(":")[0].split(",")]
        if len(sides) != 3 or not all(side.isdecimal() and int(side) < _MOST_BYTES for side in sides):
            raise DataInvalidError.at(path, "it is not name:red,green,blue with numbers from 0 to 255", number)
        red, green, blue = map(int, sides)
        found.append((name.strip(), (red, green, blue)))
    if len(found) > UNKNOWN:
        raise DataInvalidError.at(path, f"{len(found)} classes; segmentation takes {UNKNOWN} at most")
    return found


def _voc_colour(number: int) -> Colour:
    """The bits of a number spread over three colours, the highest first."""
    colour = [0, 0, 0]
    for step in range(8):
        for channel in range(3):
            colour[channel] |= ((number >> channel) & 1) << (7 - step)
        number >>= 3
    return colour[0], colour[1], colour[2]


def _lists(root: Path, remarks: Remarks) -> dict[str, str]:
    """The split of each mask by its stem; empty where no list is of a split."""
    found: dict[str, str] = {}
    for path in listed(root / _LISTS, ".txt"):
        split, name = split_named(path.stem), path.relative_to(root).as_posix()
        for number, line in enumerate(lines_of_text(read_text(path, name, remarks)) if split else (), 1):
            stem = line.strip()
            if stem and split and found.setdefault(stem, split) != split:
                remarks.fault(f"{name}, line {number}", f"it is in the list of {found[stem]} too")
    return found
