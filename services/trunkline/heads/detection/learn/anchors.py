"""Anchors fitted to the boxes of the data."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

_ROUNDS = 100
_LEAST_SIDE = 2.0  # pixels of the model input


def fit_anchors(sides: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """k-means of widths and heights with 1 - IoU as the distance: float64 (N, 2) -> float64 (count, 2), by area.

    Where the data has fewer shapes than `count`, those it has come again in other sizes, from half to double.
    Source: Redmon and Farhadi, YOLO9000, 2017, section 2, "Dimension Clusters".
    """
    sides = np.maximum(np.asarray(sides, np.float64).reshape(-1, 2), _LEAST_SIDE)
    shapes = np.unique(sides, axis=0)
    if len(shapes) <= count:
        grown = shapes[np.arange(count) % len(shapes)]
        return _by_area(grown * 2 ** np.linspace(-1, 1, count)[:, None])
    centres = _first_centres(sides, count, np.random.default_rng(seed))
    for _ in range(_ROUNDS):
        nearest = shape_iou(sides, centres).argmax(axis=1)  # (N,)
        moved = np.array(
            [
                np.median(sides[nearest == index], axis=0) if (nearest == index).any() else centres[index]
                for index in range(count)
            ]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return _by_area(centres)


def shape_iou(sides: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of boxes laid upon one corner: (N, 2) and (M, 2) -> (N, M)."""
    shared = np.minimum(sides[:, None], others[None]).prod(axis=2)  # (N, M)
    return np.asarray(shared / (sides.prod(axis=1)[:, None] + others.prod(axis=1)[None] - shared))


class FittedAnchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors of given widths and heights at every place of every level."""

    def __init__(self, levels: Sequence[Sequence[tuple[float, float]]]) -> None:
        """levels: for each level, fine to coarse, (width, height) in pixels of the model input."""
        super().__init__(sizes=tuple((1,) * len(shapes) for shapes in levels), aspect_ratios=((1.0,),) * len(levels))
        self.cell_anchors = [_around_zero(torch.tensor(shapes)) for shapes in levels]


def spread_over_levels(shapes: np.ndarray, levels: int) -> list[list[tuple[float, float]]]:
    """(levels * n, 2), by area -> n for each level, the smallest for the finest."""
    return [[(float(width), float(height)) for width, height in part] for part in np.split(shapes, levels)]


def _first_centres(sides: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Far apart. Source: Arthur and Vassilvitskii, k-means++, 2007."""
    centres = sides[rng.integers(len(sides))][None]
    while len(centres) < count:
        far = (1 - shape_iou(sides, centres).max(axis=1)) ** 2  # (N,)
        centres = np.concatenate([centres, sides[rng.choice(len(sides), p=far / far.sum())][None]])
    return np.asarray(centres)


def _by_area(shapes: np.ndarray) -> np.ndarray:
    return np.asarray(shapes[np.argsort(shapes.prod(axis=1), kind="stable")])


def _around_zero(shapes: Tensor) -> Tensor:
    """(A, 2) -> (A, 4), x_min y_min x_max y_max."""
    half = shapes.to(torch.float32) / 2
    return torch.cat([-half, half], dim=1)
