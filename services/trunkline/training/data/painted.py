"""The class of every pixel from the outlines of objects: what segmentation learns from data of objects."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.masks import IGNORED, UNKNOWN, Note, no_note
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import extent
from trunkline.training.data.remarks import Kind, Remarks

BACKGROUND: Final = "background"


@dataclass(frozen=True)
class PaintedMask:
    """Objects painted over `background`, larger ones first, so that smaller ones lie on top of them.

    Pixels of crowds are IGNORED, and so are those in the box of an object without an outline.
    pixels: (width, height). name: of the picture. labels: by those of the objects.
    """

    name: str
    pixels: tuple[int, int]
    objects: tuple[ObjectTruth, ...]
    labels: tuple[int, ...]
    background: int

    def load(self, size: tuple[int, int] | None = None, note: Note = no_note) -> np.ndarray:
        """uint8 (H, W): labels. size: (width, height) that it must have.

        Raises DataInvalidError that names the picture and the object.
        """
        if size is not None and size != self.pixels:
            want = "x".join(map(str, size))
            raise DataInvalidError.at(self.name, f"the outlines are of another size than the picture of {want}")
        width, height = self.pixels
        labels = np.full((height, width), self.background, np.uint8)
        pieces = [_Piece.of(each, self._pixels_of(each)) for each in self.objects]
        for piece in sorted(pieces, key=lambda piece: -piece.area):
            label = IGNORED if piece.truth.crowd or piece.truth.mask is None else self.labels[piece.truth.label]
            rows, columns = piece.inside.shape
            under = labels[piece.top : piece.top + rows, piece.left : piece.left + columns]  # (rows, columns)
            under[piece.inside] = label
        return labels

    def relabelled(self, labels: Sequence[int]) -> "PaintedMask":
        """The same mask with other labels: `labels` by the old ones."""
        return replace(self, labels=tuple(labels[label] for label in self.labels), background=labels[self.background])

    def _pixels_of(self, each: ObjectTruth) -> np.ndarray:
        if each.mask is None:
            return self._box_of(each)
        try:
            return each.mask.load()
        except DataInvalidError as error:
            raise DataInvalidError.at(self.name, f"{each.name}: {error.message}") from error

    def _box_of(self, each: ObjectTruth) -> np.ndarray:
        width, height = self.pixels
        pixels = np.zeros((height, width), np.uint8)
        box = each.box
        pixels[int(box.y_min) : math.ceil(box.y_max), int(box.x_min) : math.ceil(box.x_max)] = 1
        return pixels


@dataclass(frozen=True)
class _Piece:
    """The part of a mask where the object is: inside bool (h, w), and where its corner lies."""

    truth: ObjectTruth
    left: int
    top: int
    inside: np.ndarray
    area: int

    @classmethod
    def of(cls, truth: ObjectTruth, mask: np.ndarray) -> "_Piece":
        """mask: uint8 (H, W)"""
        found = extent(mask)
        if found is None:
            return cls(truth, 0, 0, np.zeros((0, 0), np.bool_), 0)
        left, top, right, bottom = found
        inside = mask[top:bottom, left:right].astype(np.bool_)
        return cls(truth, left, top, inside, int(inside.sum()))


def painted(dataset: Dataset) -> Dataset:
    """The same pictures for segmentation: a mask each, and no objects.

    The class `background`, of all pixels without an object, comes first; where the data has a class of that name,
    it is that one. The boxes of objects without an outline are void. Raises DataInvalidError where no object has one.
    """
    objects = [each for sample in dataset.samples for each in sample.objects or ()]
    if objects and not any(each.mask for each in objects):
        reason = "the objects have boxes alone; segmentation needs outlines: polygons, run lengths or masks"
        raise DataInvalidError.at(dataset.root, reason)
    named = [name.lower() for name in dataset.classes]
    own = BACKGROUND not in named
    classes = (BACKGROUND, *dataset.classes) if own else dataset.classes
    if len(classes) > UNKNOWN:
        raise DataInvalidError.at(dataset.root, f"{len(classes)} classes; segmentation takes {UNKNOWN} at most")
    labels = tuple(range(own, len(classes)))
    background = 0 if own else named.index(BACKGROUND)
    samples = tuple(_painted(sample, labels, background, dataset.remarks) for sample in dataset.samples)
    return replace(dataset, classes=classes, samples=samples)


def _painted(sample: Sample, labels: tuple[int, ...], background: int, remarks: Remarks) -> Sample:
    objects = sample.objects or ()
    for each in objects:
        if each.mask is None:
            text = f"{each.name} has a box alone; segmentation needs its outline: the box is read as void"
            remarks.read(Kind.VOID, sample.name, text)
    assert sample.size is not None
    mask = PaintedMask(sample.name, sample.size, objects, labels, background)
    return replace(sample, objects=None, mask=mask)
