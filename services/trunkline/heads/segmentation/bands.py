"""Probabilities in the frame of the model to labels in the frame of the caller's picture, a few rows at a time.

Probabilities are interpolated (bilinear), then compared, so that edges are smooth at any size. A mean of values of
which one class is the largest everywhere is the largest for that class too. So going down the columns, classes are
compared only where the rows of the map above and below differ; elsewhere the label is theirs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trunkline.core.preprocess import Frame
from trunkline.core.resize import resize
from trunkline.core.steps import between_steps
from trunkline.heads.segmentation.label_map import Strip

_AT_ONCE = 500_000  # pixels of a band
_WIDENED_AT_ONCE = 200_000  # probabilities of a band: larger arrays go back to the system at each call


@dataclass(frozen=True)
class _Rows:
    """Of some rows of the picture: rows of the map above and below, int64 (H,), and where between, float32 (H,)."""

    above: np.ndarray
    below: np.ndarray
    share: np.ndarray

    def part(self, begin: int, end: int) -> "_Rows":
        return _Rows(self.above[begin:end], self.below[begin:end], self.share[begin:end])

    def from_first(self) -> "_Rows":
        """Counted from the first row of the map that takes part."""
        return _Rows(self.above - self.above[0], self.below - self.above[0], self.share)


def label_map(probabilities: np.ndarray, frame: Frame) -> Strip:
    """float32 (K, h, w) over the whole model input -> the best class of every pixel of the caller's picture.

    Holds planes of the whole picture.
    """
    strips = list(bands(probabilities, frame))
    if len(strips) == 1:
        return strips[0]
    return Strip(
        np.concatenate([strip.labels for strip in strips]), np.concatenate([strip.confidence for strip in strips])
    )


def bands(probabilities: np.ndarray, frame: Frame) -> Iterator[Strip]:
    """The same, from the top down, in bands of some rows of the picture; any bands give the same numbers."""
    box = frame.cells(probabilities.shape[1:])
    if box[3] - box[1] > frame.image_height:
        probabilities = _lowered(probabilities, box[1], box[3], frame.image_height)
        box = (box[0], 0.0, box[2], float(frame.image_height))
    rows = _rows(box[1], box[3], frame.image_height, probabilities.shape[1])
    least = 1 / len(probabilities)
    for begin, end in _parts(rows, frame.image_width, len(probabilities)):
        between_steps()
        part = rows.part(begin, end)
        seen = probabilities[:, part.above[0] : part.below[-1] + 1]  # (K, taps, w)
        rivals = rivals_of(seen, least)
        wide = _widened(seen[rivals], box[0], box[2], frame.image_width)
        yield _between(wide, np.array(rivals, np.uint8), part.from_first())


def rivals_of(probabilities: np.ndarray, least: float) -> list[int]:
    """Of float32 (K, h, w), the classes that may win somewhere.

    A mean of values below 1/K, `least`, is below 1/K, and the best class never is: such a class wins nowhere.
    """
    return np.flatnonzero(probabilities.max(axis=(1, 2)) >= least).tolist()


def _parts(rows: _Rows, width: int, classes: int) -> Iterator[tuple[int, int]]:
    """Begin and end of bands."""
    begin, count = 0, len(rows.above)
    most, most_seen = max(1, _AT_ONCE // width), max(2, _WIDENED_AT_ONCE // (width * classes))
    while begin < count:
        seen = int(np.searchsorted(rows.below, rows.above[begin] + most_seen))
        end = min(count, begin + most, max(begin + 1, seen))
        yield begin, end
        begin = end


def _rows(top: float, bottom: float, height: int, map_height: int) -> _Rows:
    """For `height` rows of the picture over the rows top to bottom of a map, which are not more."""
    centres = top + (np.arange(height) + 0.5) * ((bottom - top) / height) - 0.5  # in rows of the map
    above = np.floor(centres)
    share = np.where(above < 0, 0.0, centres - above).astype(np.float32)
    first, last = above.clip(0, map_height - 1), (above + 1).clip(0, map_height - 1)
    return _Rows(first.astype(np.int64), last.astype(np.int64), share)


def _widened(planes: np.ndarray, left: float, right: float, width: int) -> np.ndarray:
    """float32 (R, h, w) -> float32 (R, h, width)."""
    count, height = planes.shape[:2]
    one = Image.fromarray(planes.reshape(count * height, -1))  # mode F
    wide = resize(one, (width, one.height), "bilinear", (left, 0.0, right, float(one.height)))
    return np.asarray(wide).reshape(count, height, width)


def _lowered(probabilities: np.ndarray, top: float, bottom: float, height: int) -> np.ndarray:
    """float32 (K, h, w) -> float32 (K, height, w), of a picture that has fewer rows than the map."""
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in probabilities)
    size, box = (probabilities.shape[2], height), (0.0, top, float(probabilities.shape[2]), bottom)
    return np.stack([np.asarray(resize(plane, size, "bilinear", box)) for plane in planes])


def _between(wide: np.ndarray, rivals: np.ndarray, rows: _Rows) -> Strip:
    """wide: float32 (R, h, W), probabilities of these classes in the rows of the map."""
    best, labels_of = _best(wide, rivals)
    labels, confidence = labels_of[rows.above], best[rows.above]
    confidence += (best[rows.below] - confidence) * rows.share[:, None]
    gap, column = np.nonzero(labels_of[1:] != labels_of[:-1])
    place = gap * wide.shape[2] + column
    planes = wide.reshape(len(wide), -1)
    start = planes.take(place, axis=1)  # (R, places)
    step = planes.take(place + wide.shape[2], axis=1) - start
    # A gap between two rows of the map has several rows of the picture: all first ones, then all second ones.
    gaps = np.arange(wide.shape[1] - 1)
    firsts, ends = (np.searchsorted(rows.above, gaps, side) for side in ("left", "right"))
    for number in range(int((ends - firsts).max(initial=0))):
        row = firsts[gap] + number
        there = row < ends[gap]
        if not there.all():
            row, gap, column, start, step = row[there], gap[there], column[there], start[:, there], step[:, there]
        values = step * rows.share[row] + start
        confidence[row, column], labels[row, column] = _best(values, rivals)
    return Strip(labels, confidence)


def _best(values: np.ndarray, rivals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (R, ...) -> the largest, and uint8 (...) whose it is; of equal ones the first."""
    best, labels = values[0].copy(), np.full(values.shape[1:], rivals[0])
    for plane, index in zip(values[1:], rivals[1:], strict=True):
        better = plane > best
        np.maximum(best, plane, out=best)
        # Rivals come in order, so the latest is the largest; several times as fast as to write where it is better.
        np.maximum(labels, better.view(np.uint8) * index, out=labels)
    return best, labels
