"""Whether two runtimes give the same detections."""

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
TOLERANCE = 1e-3  # relative to the largest coordinate, or of a probability
_STRAY = 0.05  # share of rows that may have no counterpart


def largest_difference(want: Arrays, found: Arrays) -> float:
    """Largest difference of the outputs of two runtimes for one picture, (1, M, ...) by name.

    Boxes count relative to the largest coordinate. Rows are compared with the row that is nearest in box and score:
    where two scores are nearly the same, the last bit decides which comes first, and which of two boxes that overlap
    is left out. So a few rows may have no counterpart, and are left out. Infinite where it is more than that.
    """
    scale = max(1.0, float(np.abs(want["boxes"]).max(initial=0.0)))
    there, back = _to_nearest(want, found, scale), _to_nearest(found, want, scale)
    near = [each[each <= TOLERANCE] for each in (there, back)]
    for rows, close in zip((there, back), near, strict=True):
        if len(rows) - len(close) > _STRAY * len(rows):
            return float("inf")
    return float(max(each.max(initial=0.0) for each in near))


def _to_nearest(rows: Arrays, others: Arrays, scale: float) -> np.ndarray:
    """float64 (M,): for each row the largest difference to the nearest of the others; infinite without any."""
    one, other = _joined(rows, scale), _joined(others, scale)
    if not len(one) or not len(other):
        return np.full(len(one), np.inf)
    distances = np.abs(one[:, None] - other[None]).max(axis=2)  # (M, N)
    nearest = distances.argmin(axis=1)  # (M,)
    found = distances[np.arange(len(one)), nearest]
    if "masks" in rows:
        off = np.abs(rows["masks"][0] - others["masks"][0][nearest])  # (M, h, w)
        found = np.maximum(found, off.max(axis=(1, 2)))
    return np.asarray(np.nan_to_num(found, nan=np.inf))


def _joined(outputs: Arrays, scale: float) -> np.ndarray:
    """float64 (M, 4 + K)"""
    return np.concatenate([outputs["boxes"][0] / scale, outputs["scores"][0]], axis=1).astype(np.float64)
