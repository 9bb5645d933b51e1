"""The label map of a large picture a few rows at a time, where whole planes would take gigabytes.

The numbers are those of Pillow's bilinear filter in its order of operations. It scales along the rows first, which
costs little on the few rows of a map; going down the columns is done here, and only for classes that may win there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trunkline.core.preprocess import Frame
from trunkline.core.steps import between_steps
from trunkline.heads.segmentation.label_map import Strip, box_of, rivals_of

_AT_ONCE = 500_000  # pixels of a band
_TILE = 40_000  # pixels of a band that are looked at together for which classes may win
_LEAST_COLUMNS = 256  # of a tile
_MARGIN = 1 - 1e-6  # a mean of values may be above the largest of them by its rounding


@dataclass(frozen=True)
class _Taps:
    """Of some rows of the picture: the rows of the map from `first` on, and float64 (rows, taps) weights of them."""

    first: int
    weights: np.ndarray


def bands(probabilities: np.ndarray, frame: Frame) -> Iterator[Strip]:
    """float32 (K, h, w) over the whole model input -> the best classes of the caller's picture, from the top down."""
    box = box_of(frame, probabilities.shape[1:], 0, frame.image_height)
    least = 1 / len(probabilities)
    for taps in _taps(box[1], box[3], frame.image_height, probabilities.shape[1], frame.image_width):
        between_steps()
        rows = probabilities[:, taps.first : taps.first + taps.weights.shape[1]]  # (K, taps, w)
        rivals = rivals_of(rows, least)
        wide = np.stack([_widened(rows[index], box[0], box[2], frame.image_width) for index in rivals])
        yield _best(wide, np.array(rivals, np.uint8), taps.weights)


def _widened(rows: np.ndarray, left: float, right: float, width: int) -> np.ndarray:
    """float32 (taps, w) -> float32 (taps, width)."""
    plane = Image.fromarray(np.ascontiguousarray(rows))  # mode F
    return np.asarray(plane.resize((width, len(rows)), Image.Resampling.BILINEAR, box=(left, 0, right, len(rows))))


def _taps(top: float, bottom: float, height: int, map_height: int, width: int) -> Iterator[_Taps]:
    """For `height` rows of the picture over the rows top to bottom of a map: bands of the same rows of the map.

    Source: the resampling of Pillow, precompute_coeffs in Resample.c.
    """
    scale = (bottom - top) / height
    spread = max(scale, 1.0)
    centres = top + (np.arange(height) + 0.5) * scale  # (height,)
    firsts = np.maximum(0, (centres - spread + 0.5).astype(np.int64))
    ends = np.minimum(map_height, (centres + spread + 0.5).astype(np.int64))
    begin, most = 0, max(1, _AT_ONCE // width)
    while begin < height:
        same = (firsts[begin : begin + most] == firsts[begin]) & (ends[begin : begin + most] == ends[begin])
        end = begin + (len(same) if same.all() else int(np.argmin(same)))
        first, count = int(firsts[begin]), int(ends[begin] - firsts[begin])
        places = (np.arange(count) + first - centres[begin:end, None] + 0.5) * (1.0 / spread)  # (rows, taps)
        weights = np.maximum(0.0, 1.0 - np.abs(places))
        yield _Taps(first, weights * (1.0 / weights.sum(axis=1, keepdims=True)))
        begin = end


def _best(wide: np.ndarray, rivals: np.ndarray, weights: np.ndarray) -> Strip:
    """wide: float32 (R, taps, W), probabilities of these classes. weights: float64 (rows, taps)."""
    shape = (len(weights), wide.shape[2])
    labels, confidence = np.empty(shape, np.uint8), np.empty(shape, np.float32)
    columns = max(_LEAST_COLUMNS, _TILE // shape[0])
    edges = np.arange(0, shape[1], columns)
    highest = np.maximum.reduceat(wide.max(axis=1), edges, axis=1)  # (R, tiles)
    lowest = np.minimum.reduceat(wide.min(axis=1), edges, axis=1).max(axis=0)  # (tiles,), of the surest class
    may_win = highest >= lowest * _MARGIN  # (R, tiles)
    for tile, left in enumerate(edges):
        here, mine = may_win[:, tile], np.s_[:, left : left + columns]
        _fill(Strip(labels[mine], confidence[mine]), wide[here, :, left : left + columns], rivals[here], weights)
    return Strip(labels, confidence)


def _fill(strip: Strip, wide: np.ndarray, rivals: np.ndarray, weights: np.ndarray) -> None:
    """Fill in the largest of the planes and whose it is; of equal ones the first."""
    strip.confidence[...] = _mixed(wide[0], weights)
    strip.labels[...] = rivals[0]
    for plane, index in zip(wide[1:], rivals[1:], strict=True):
        values = _mixed(plane, weights)
        np.copyto(strip.labels, index, where=values > strip.confidence)
        np.maximum(strip.confidence, values, out=strip.confidence)


def _mixed(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float32 (taps, w), float64 (rows, taps) -> float32 (rows, w)."""
    rows = rows.astype(np.float64)
    total: np.ndarray = weights[:, :1] * rows[0]
    for tap in range(1, len(rows)):
        total += weights[:, tap : tap + 1] * rows[tap]
    return np.asarray(total, np.float32)
