"""Masks of boxes to masks of the caller's picture."""

import numpy as np
from PIL import Image

from trunkline.core.masks import encode_edges, encode_part
from trunkline.core.results import RunLengthMask

_INSIDE = 0.5  # least probability of a pixel of the object
_AT_ONCE = 250_000  # cells of a mask, widened to the picture, that are looked at together


def paste(mask: np.ndarray, box: np.ndarray, width: int, height: int) -> RunLengthMask:
    """float32 (h, w), probabilities over the whole of a box -> the object's pixels in a picture of width x height.

    box: float64 (4,), x_min y_min x_max y_max in pixels of the picture, of which a part may lie outside of it. Each
    pixel whose centre is in the box takes the probability there (bilinear) and belongs to the object from 0.5 on.
    Source: He et al. 2017, Mask R-CNN, section 3.1, Inference.
    """
    x_min, y_min, x_max, y_max = map(float, box)
    left, right = max(0, int(np.floor(x_min))), min(width, int(np.ceil(x_max)))
    top, bottom = max(0, int(np.floor(y_min))), min(height, int(np.ceil(y_max)))
    # Cells of the mask for each pixel of the picture; what is outside of the mask is 0. Columns are made as rows: run
    # lengths go down the columns, and to turn a large part costs more than to encode it.
    per_x, per_y = mask.shape[1] / (x_max - x_min), mask.shape[0] / (y_max - y_min)
    affine = (per_y, 0.0, (top - y_min) * per_y, 0.0, per_x, (left - x_min) * per_x)
    size, method = (bottom - top, right - left), Image.Resampling.BILINEAR
    columns = Image.fromarray(np.ascontiguousarray(mask.T)).transform(size, Image.Transform.AFFINE, affine, method)
    return encode_part((np.asarray(columns) >= _INSIDE).T, left, top, width, height)


def trace(mask: np.ndarray, box: np.ndarray, width: int, height: int) -> RunLengthMask:
    """What `paste` gives, for a cost that grows with the columns of the box and the rows of the mask, not with area.

    Down a column the probability is a line between the rows of the mask, so where it passes 0.5 is computed. A pixel
    whose probability is 0.5 but for rounding may come out the other way.
    """
    x_min, _, x_max, _ = map(float, box)
    left, right = (min(width, max(0, int(np.ceil(x - 0.5)))) for x in (x_min, x_max))  # centres in the box
    edges, step = [], max(1, _AT_ONCE // len(mask))
    for begin in range(left, right, step):
        columns = np.arange(begin, min(right, begin + step))
        x = ((columns + 0.5 - x_min) * (mask.shape[1] / (x_max - x_min)) - 0.5).clip(0, mask.shape[1] - 1)
        before = np.minimum(x.astype(np.int64), max(0, mask.shape[1] - 2))
        after = np.minimum(before + 1, mask.shape[1] - 1)
        share = x - before
        values = mask.T[before] * (1 - share)[:, None] + mask.T[after] * share[:, None]  # (columns, h)
        edges.append(_column_edges(values, columns, box, height))
    return encode_edges(np.concatenate(edges) if edges else np.zeros(0, np.int64), width, height)


def _column_edges(values: np.ndarray, columns: np.ndarray, box: np.ndarray, height: int) -> np.ndarray:
    """float64 (n, h), probabilities down n columns of the picture -> int64, begin and end of each run by turns."""
    y_min, y_max = float(box[1]), float(box[3])
    rows = values.shape[1]
    padded = np.zeros((len(values), rows + 2))  # outside of the mask is nothing
    padded[:, 1:-1] = values
    inside = padded >= _INSIDE
    column, first = np.nonzero(inside[:, 1:] & ~inside[:, :-1])  # the run's first row of the mask
    _, last = np.nonzero(inside[:, :-1] & ~inside[:, 1:])
    last -= 1
    per_y = (y_max - y_min) / rows  # pixels of the picture for each row of the mask

    def passed(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
        """Row of the picture, its centre 0 at y 0.5, at which the line between two rows of the mask passes 0.5."""
        low, high = padded[column, outer + 1], values[column, inner]
        at = inner + (outer - inner) * (high - _INSIDE) / (high - low)
        return np.asarray((at + 0.5) * per_y + y_min - 0.5)

    top, bottom = max(0, int(np.ceil(y_min - 0.5))), min(height, int(np.ceil(y_max - 0.5)))
    begins = np.where(first == 0, top, np.ceil(passed(first - 1, first))).clip(top, bottom).astype(np.int64)
    ends = np.where(last == rows - 1, bottom, np.floor(passed(last + 1, last)) + 1).clip(top, bottom).astype(np.int64)
    some = ends > begins
    edges = np.stack([begins, ends], axis=1) + (columns[column] * height)[:, None]  # (runs, 2)
    return np.asarray(edges[some].ravel())
