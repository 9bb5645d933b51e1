"""Masks as COCO's compressed run lengths, by numpy alone.

A run length is the number of equal pixels in a row, columns first, background first. COCO writes the runs as
differences to the run before the last, each in groups of five bits, as ASCII.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import RunLengthMask

_BITS, _CONTINUES, _SIGN, _FIRST = 5, 0x20, 0x10, 48
_MOST_PIXELS = 1 << 28  # of a mask; far more than a picture has
_MOST_GROUPS = 13  # of an int64
_AT_ONCE = 100_000  # runs whose text is made at a time


def encode_mask(mask: np.ndarray) -> RunLengthMask:
    """bool (H, W) -> run lengths. Raises TypeError for any other dtype."""
    if mask.dtype != np.bool_:
        raise TypeError(f"a mask is bool (H, W), not {mask.dtype}")
    height, width = mask.shape
    pixels = mask.ravel(order="F")  # (H * W,)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], changes, [pixels.size]])
    runs = np.diff(edges)
    if pixels.size and pixels[0]:
        runs = np.concatenate([[0], runs])
    return RunLengthMask(width, height, _to_text(runs))


def encode_part(part: np.ndarray, left: int, top: int, width: int, height: int) -> RunLengthMask:
    """bool (h, w), the pixels of a mask of width x height from (left, top) on -> run lengths; the rest is background.

    Costs what the part does, however large the mask. Raises TypeError for any other dtype.
    """
    if part.dtype != np.bool_:
        raise TypeError(f"a mask is bool (H, W), not {part.dtype}")
    columns = np.zeros((part.shape[1], part.shape[0] + 2), np.bool_)  # (w, h + 2), a pixel of background at each end
    columns[:, 1:-1] = part.T
    pixels = columns.ravel()
    column, row = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), columns.shape[1])
    return encode_edges((left + column) * height + top + row, width, height)


def encode_edges(edges: np.ndarray, width: int, height: int) -> RunLengthMask:
    """int64, begin and end of each run of the object by turns, pixels counted down the columns -> run lengths.

    Runs are in order and not empty; one that ends where the next begins is joined with it.
    """
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    return RunLengthMask(width, height, _text_of_edges(edges, width * height))


def decode_mask(mask: RunLengthMask) -> np.ndarray:
    """Run lengths -> bool (H, W). Raises InvalidRequestError where they do not fill the mask, or it is too large."""
    runs = _from_text(mask.counts)
    size = mask.width * mask.height
    if min(mask.width, mask.height) < 1 or size > _MOST_PIXELS:
        raise InvalidRequestError(f"a mask of {mask.width}x{mask.height}; at most {_MOST_PIXELS} pixels are allowed")
    if (runs < 0).any() or (runs > size).any() or runs.sum() != size:  # a sum of larger ones can overflow
        raise InvalidRequestError(f"the run lengths do not fill a mask of {mask.width}x{mask.height}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((mask.height, mask.width), order="F")


class LabelRuns:
    """Masks of the classes of a label map whose rows come one after the other; only their edges are kept."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._top = 0
        self._above: np.ndarray | None = None  # uint8 (W,)
        self._found: list[np.ndarray] = []  # int64, the place of the first pixel of a run and its label in one

    def add(self, labels: np.ndarray) -> None:
        """uint8 (n, W), the next rows."""
        begins = np.empty(labels.shape, np.bool_)
        begins[0] = True if self._above is None else labels[0] != self._above
        np.not_equal(labels[1:], labels[:-1], out=begins[1:])
        places = np.flatnonzero(begins)
        row, column = np.divmod(places, self._width)
        self._found.append((column * self._height + row + self._top) << 8 | labels.ravel()[places])
        self._above = labels[-1].copy()
        self._top += len(labels)

    def masks(self, indices: Iterable[int]) -> Iterator[RunLengthMask]:
        """One for each label, once all rows were added."""
        found = np.concatenate(self._found)
        self._found = []
        found.sort()
        labels = (found & 0xFF).astype(np.uint8)
        found >>= 8
        first = np.concatenate([[True], labels[1:] != labels[:-1]])  # a run may go on in the next column
        labels, begins = labels[first], found[first]
        size = self._width * self._height
        ends = np.append(begins[1:], size)
        for index in indices:
            mine = labels == index
            edges = np.stack([begins[mine], ends[mine]], axis=1).ravel()
            yield RunLengthMask(self._width, self._height, _text_of_edges(edges, size))


def _text_of_edges(edges: np.ndarray, size: int) -> str:
    """int64, begin and end of each run of the object by turns, in a mask of `size` pixels."""
    runs = np.diff(np.concatenate([[0], edges, [size]]))
    return _to_text(runs[:-1] if len(edges) and edges[-1] == size else runs)


def _to_text(runs: np.ndarray) -> str:
    rest = runs.astype(np.int64)
    rest[3:] -= runs[1:-2]
    return "".join(_part_to_text(rest[at : at + _AT_ONCE]) for at in range(0, len(rest), _AT_ONCE))


def _part_to_text(rest: np.ndarray) -> str:
    groups = np.zeros((len(rest), _MOST_GROUPS), np.uint8)
    used = np.zeros((len(rest), _MOST_GROUPS), np.bool_)
    open_ = np.ones(len(rest), np.bool_)
    for number in range(_MOST_GROUPS):
        group = rest & 0x1F
        rest = rest >> _BITS
        more = np.where(group & _SIGN, rest != -1, rest != 0)
        groups[:, number] = (group | np.where(more, _CONTINUES, 0)) + _FIRST
        used[:, number] = open_
        open_ &= more
        if not open_.any():
            break
    return groups[used].tobytes().decode("ascii")


def _from_text(text: str) -> np.ndarray:
    """int64 runs."""
    try:
        values = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST
    except UnicodeEncodeError as error:
        raise InvalidRequestError("run lengths are ASCII") from error
    if not len(values):
        return values
    ends = np.flatnonzero((values & _CONTINUES) == 0)
    if values.min() < 0 or values.max() >= 2 * _CONTINUES or not len(ends) or ends[-1] != len(values) - 1:
        raise InvalidRequestError("the run lengths are cut off or have characters that COCO does not use")
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= _MOST_GROUPS - 1:
        raise InvalidRequestError("a run length is too large")
    places = np.arange(len(values)) - np.repeat(starts, ends - starts + 1)
    runs = np.add.reduceat((values & 0x1F) << (_BITS * places), starts)
    negative = (values[ends] & _SIGN) != 0
    runs -= np.where(negative, np.int64(1) << (_BITS * (ends - starts + 1)), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
