"""The places of a detector's grids: one for each cell of each of its levels, row by row."""

from collections.abc import Sequence

import numpy as np

# Of YOLOX and NanoDet; the second is that of NanoDet-Plus and of the large YOLOX nets.
STRIDES: Sequence[tuple[int, ...]] = ((8, 16, 32), (8, 16, 32, 64))


def strides_of(height: int, width: int, count: int) -> tuple[int, ...] | None:
    """The strides with so many places in an input of this size; None where none have."""
    return next((strides for strides in STRIDES if _count(height, width, strides) == count), None)


def cells(height: int, width: int, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of each place in its own grid, float32 (1, N, 2), and its stride, pixels, float32 (1, N, 1)."""
    grids, sizes = [], []
    for stride in strides:
        rows, columns = _sides(height, width, stride)
        y, x = np.mgrid[:rows, :columns]  # (rows, columns) each
        grids.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        sizes.append(np.full((rows * columns, 1), stride))
    return np.concatenate(grids)[None].astype(np.float32), np.concatenate(sizes)[None].astype(np.float32)


def _count(height: int, width: int, strides: Sequence[int]) -> int:
    return sum(rows * columns for rows, columns in (_sides(height, width, stride) for stride in strides))


def _sides(height: int, width: int, stride: int) -> tuple[int, int]:
    return -(-height // stride), -(-width // stride)
