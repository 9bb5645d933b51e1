"""The outline of one object, in the ways in which data sets give it, as pixels on demand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.masks import decode_mask
from trunkline.core.results import RunLengthMask
from trunkline.training.data.masks import decode_values


class Outline(Protocol):
    """Which pixels of its picture an object takes. Equal by value; can be pickled."""

    def load(self) -> np.ndarray:
        """uint8 (H, W) of the whole picture: 1 for the object, 0 elsewhere, made anew at each call.

        Raises DataInvalidError without the name of a file for an outline that cannot be made out.
        """


@dataclass(frozen=True)
class Polygons:
    """Closed lines (x, y, x, y, …) in pixels of the picture, whose areas are joined; of three points or more each.

    A pixel belongs to the object by the rule of COCO's own tools, so masks and areas are those that others get.
    Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; rleFrPoly of the COCO API.
    """

    width: int
    height: int
    lines: tuple[tuple[float, ...], ...]

    def load(self) -> np.ndarray:
        from faster_coco_eval.core import mask as coco  # late: a quarter of a second

        runs = coco.merge(coco.frPyObjects([list(line) for line in self.lines], self.height, self.width))
        pixels: np.ndarray = np.ascontiguousarray(coco.decode(runs), np.uint8)  # (H, W)
        return pixels


@dataclass(frozen=True)
class RunLengths:
    """COCO's run lengths, columns first, background first; counts: numbers, or COCO's compressed text."""

    width: int
    height: int
    counts: str | tuple[int, ...]

    def load(self) -> np.ndarray:
        if isinstance(self.counts, str):
            return self._decoded(self.counts).astype(np.uint8)
        if min(self.counts, default=0) < 0 or sum(self.counts) != self.width * self.height:
            raise DataInvalidError("the run lengths do not fill the picture")
        runs = np.asarray(self.counts, np.int64)
        values = (np.arange(len(runs)) % 2).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(values, runs).reshape((self.height, self.width), order="F"))

    def _decoded(self, counts: str) -> np.ndarray:
        try:
            return np.ascontiguousarray(decode_mask(RunLengthMask(self.width, self.height, counts)))
        except InvalidRequestError as error:
            raise DataInvalidError("the run lengths are not COCO's text, or do not fill the image") from error


@dataclass(frozen=True)
class PatchRuns:
    """Run lengths of a part of the picture, rows first, background first, as CVAT has them; they fill the part."""

    width: int
    height: int
    left: int
    top: int
    patch_width: int
    patch_height: int
    counts: tuple[int, ...]

    def load(self) -> np.ndarray:
        runs = np.asarray(self.counts, np.int64)
        values = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
        pixels = np.zeros((self.height, self.width), np.uint8)
        part = values.reshape(self.patch_height, self.patch_width)
        pixels[self.top : self.top + self.patch_height, self.left : self.left + self.patch_width] = part
        return pixels


@dataclass(frozen=True)
class InstanceMask:
    """The pixels of one value in a mask that numbers the objects of a picture: one channel, 8 or 16 bits.

    name: the file, for messages. read: its bytes, read anew at each call; raises OSError.
    """

    name: str
    width: int
    height: int
    value: int
    read: Callable[[], bytes] = field(compare=False, repr=False)

    def load(self) -> np.ndarray:
        _, values = decode_values(self.read, self.name)  # (H, W)
        if values.shape != (self.height, self.width):
            shape = "x".join(map(str, values.shape[1::-1]))
            raise DataInvalidError(
                f"the mask {self.name} has {shape} pixels, not one channel of {self.width}x{self.height}"
            )
        pixels: np.ndarray = (values == self.value).astype(np.uint8)
        return pixels


def extent(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """left, top, right, bottom of what is set in (H, W), in pixels, right and bottom beyond it; None for nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
