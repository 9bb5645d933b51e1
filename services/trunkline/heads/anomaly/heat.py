"""Distances of places to a heat map in the frame of the caller's picture, a few rows at a time."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trunkline.core.png import PngWriter
from trunkline.core.preprocess import Frame
from trunkline.core.resize import resize
from trunkline.core.steps import between_steps
from trunkline.heads.anomaly.task import PLACE_LIMIT

_AT_ONCE = 500_000  # pixels of a band


@dataclass(frozen=True)
class Heat:
    """png: 8-bit gray in the size of the picture, or b"". area: share of it at the limit of a place or above."""

    png: bytes
    area: float


def heat_of(places: np.ndarray, frame: Frame, *, png: bool) -> Heat:
    """float32 (h, w), distances over the limit of a place, over the whole model input -> the map of the picture.

    Nothing of the size of the picture is held but its PNG.
    """
    width, height = frame.image_width, frame.image_height
    plane = Image.fromarray(np.ascontiguousarray(places, np.float32))  # mode F
    left, top, right, bottom = frame.cells(places.shape)
    writer = PngWriter(width, height) if png else None
    beyond, rows = 0, max(1, _AT_ONCE // width)
    for begin in range(0, height, rows):
        between_steps()
        end = min(height, begin + rows)
        above, below = (top + (bottom - top) * row / height for row in (begin, end))
        band = resize(plane, (width, end - begin), "bilinear", (left, above, right, min(below, bottom)))
        gray = gray_of(np.asarray(band))  # (end - begin, width)
        beyond += int(np.count_nonzero(gray >= PLACE_LIMIT))
        if writer is not None:
            writer.add(gray)
    return Heat(b"" if writer is None else writer.finish(), beyond / (width * height))


def gray_of(shares: np.ndarray) -> np.ndarray:
    """float32 (h, w), distances over the limit of a place -> uint8 (h, w): 128 at the limit, 171 at twice of it.

    256 d / (d + 1) still tells places apart that are many times beyond it.
    """
    far = np.maximum(shares, 0)
    return np.asarray(np.minimum(2 * PLACE_LIMIT * far / (far + 1), 255).round(), np.uint8)
