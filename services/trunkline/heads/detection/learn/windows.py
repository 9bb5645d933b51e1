"""Region proposals that do not look at the picture: windows of the data's own shapes, at every place.

R-CNN takes its regions from selective search, which follows the edges of a picture and so cannot be a part of a
static graph. Windows of the shapes that the data has, a fraction of their side apart, can: they are constants.
"""

import math
from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans

_OVERHANG = 0.25  # share of a window that may lie outside of the picture; it is cut off there
_LEAST_SIDE = 4.0  # pixels of the model input
_FINEST = 0.15  # of its side that neighbouring windows are apart, at least


def fitted_shapes(sides: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Widths and heights float64 (N, 2) of objects -> float64 (count, 2) or fewer, clusters of their logarithms.

    What two boxes of one centre have in common depends on the ratios of their sides, so logarithms are compared.
    """
    sides = np.maximum(np.asarray(sides, np.float64).reshape(-1, 2), _LEAST_SIDE)
    distinct = len(np.unique(sides, axis=0))
    clusters = KMeans(min(count, distinct), n_init=4, random_state=seed).fit(np.log(sides))
    return np.asarray(np.exp(clusters.cluster_centers_))


def window_grid(shapes: np.ndarray, width: int, height: int, most: int) -> np.ndarray:
    """Windows float32 (W, 4), x_min y_min x_max y_max in pixels of the model input, W at most `most`.

    shapes: float64 (S, 2). All shapes are the same fraction of their own side apart, the smallest one that `most`
    allows. Raises ValueError where not even one window of each shape is allowed.
    """
    if most < len(shapes):
        raise ValueError(f"{most} windows for {len(shapes)} shapes")
    low, high = _FINEST, float(max(width, height))  # a step of `high` sides: one window of each shape
    if _count(shapes, width, height, low) > most:
        for _ in range(40):  # bisection: more steps apart, fewer windows
            middle = math.sqrt(low * high)
            low, high = (middle, high) if _count(shapes, width, height, middle) > most else (low, middle)
        low = high
    grids = [_of_shape(wide, tall, width, height, low) for wide, tall in shapes]
    return np.concatenate(grids).astype(np.float32)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union: (N, 4) and (M, 4) -> float64 (N, M)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)  # (N, M)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def recall(windows: np.ndarray, truths: Sequence[np.ndarray], iou: float = 0.5) -> float:
    """Share of all objects that a window covers by `iou` or more. truths: for each picture, boxes (N, 4)."""
    best = [overlaps(boxes, windows).max(axis=1) for boxes in truths if len(boxes)]
    return float((np.concatenate(best) >= iou).mean()) if best else 1.0


def _of_shape(wide: float, high: float, width: int, height: int, step: float) -> np.ndarray:
    """float64 (n, 4), cut off at the edges of the picture."""
    x, y = _starts(wide, width, step), _starts(high, height, step)
    left, top = (each.ravel() for each in np.meshgrid(x, y))
    windows = np.stack([left, top, left + wide, top + high], axis=1)
    return np.asarray(np.clip(windows, 0, [width, height] * 2))


def _starts(side: float, size: int, step: float) -> np.ndarray:
    """Where windows of one side begin, evenly, from one that hangs over the one edge to one over the other."""
    first, last = -_OVERHANG * side, size - (1 - _OVERHANG) * side
    count = _places(side, size, step)
    return np.linspace(first, last, count) if count > 1 else np.array([(size - side) / 2])


def _places(side: float, size: int, step: float) -> int:
    reach = size - (1 - 2 * _OVERHANG) * side
    return max(1, math.ceil(reach / (step * side)) + 1) if reach > 0 and step * side < size else 1


def _count(shapes: np.ndarray, width: int, height: int, step: float) -> int:
    return sum(_places(wide, width, step) * _places(high, height, step) for wide, high in shapes)
