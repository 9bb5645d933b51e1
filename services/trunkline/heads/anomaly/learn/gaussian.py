"""One Gaussian over the averages and deviations of maps for the picture, and one over places for the heat map.

Sources: Rippel, Mertens, Merhof, Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly
Detection, 2020 (averages of several stages, Mahalanobis distance, shrinkage); Ledoit, Wolf, A Well-Conditioned
Estimator for Large-Dimensional Covariance Matrices, 2004; Defard et al., PaDiM, 2021 (Gaussians of places).
Deviations beside the averages, and one Gaussian for all stages, are ours: docs/tasks/anomaly.md has what they bring.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.heads.anomaly.learn.places import Progress, batches, joined, rows_of
from trunkline.heads.learner import TaskNet

FEWEST = 5  # pictures
_EPSILON = 1e-6
_RIDGE = 0.01  # of the mean variance, added to that of places, whose covariance has far more samples than columns


class GaussianNet(TaskNet):
    """Maps float32 (N, C, H, W), fine to coarse -> distances float32 (N, 2, h, w): of the picture, of each place."""

    is_solved = True
    mean: Tensor
    whiten: Tensor
    place_mean: Tensor
    place_whiten: Tensor

    def __init__(self, channels: Mapping[str, int], grid: int) -> None:
        """grid: which of the maps the places are those of."""
        super().__init__()
        width, self._grid = sum(channels.values()), grid
        self.register_buffer("mean", torch.zeros(2 * width))
        self.register_buffer("whiten", torch.eye(2 * width))
        self.register_buffer("place_mean", torch.zeros(width))
        self.register_buffer("place_whiten", torch.eye(width))

    @torch.inference_mode()
    def solve(self, train: Any, validation: Any | None, progress: Progress) -> dict[str, Any]:
        """Raises InvalidRequestError for fewer than five pictures."""
        pictures, moments = [], _Moments(len(self.place_mean))
        for maps in batches(train, "statistics", progress):
            pictures.append(_statistics(maps))
            moments.add(rows_of(joined(maps, self._grid)))
        vectors = torch.cat(pictures).double().numpy()  # (N, 2 D)
        if len(vectors) < FEWEST:
            raise InvalidRequestError(f"{len(vectors)} good pictures are too few to learn from: {FEWEST} at least")
        covariance, shrinkage = ledoit_wolf(vectors)
        self._set("mean", vectors.mean(axis=0))
        self._set("whiten", _whitening(covariance))
        self._set("place_mean", moments.mean)
        covariance = moments.covariance
        self._set(
            "place_whiten",
            _whitening(covariance + _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))),
        )
        return {"shrinkage": round(float(shrinkage), 4)}

    def forward(self, *maps: Tensor) -> Tensor:
        return self.learn(maps)

    def learn(self, maps: Sequence[Tensor]) -> Tensor:
        picture = nn.functional.linear(_statistics(maps) - self.mean, self.whiten).norm(dim=1)  # (N,)
        places = joined(maps, self._grid)  # (N, D, h, w)
        bias = -self.place_whiten @ self.place_mean  # (D,)
        away = nn.functional.conv2d(places, self.place_whiten[:, :, None, None], bias).norm(dim=1)  # (N, h, w)
        return torch.stack([picture[:, None, None].expand_as(away), away], dim=1)

    def _set(self, name: str, value: np.ndarray) -> None:
        getattr(self, name).copy_(torch.from_numpy(np.array(value, np.float32)))


class _Moments:
    """Mean and covariance of rows that come in parts, float64."""

    def __init__(self, width: int) -> None:
        self._count, self._sum, self._products = 0, torch.zeros(width).double(), torch.zeros(width, width).double()

    def add(self, rows: Tensor) -> None:
        """float32 (n, D)"""
        exact = rows.double()
        self._count += len(exact)
        self._sum += exact.sum(dim=0)
        self._products += exact.T @ exact

    @property
    def mean(self) -> np.ndarray:
        return np.asarray((self._sum / self._count).numpy())

    @property
    def covariance(self) -> np.ndarray:
        return np.asarray((self._products / self._count).numpy()) - np.outer(self.mean, self.mean)


def _statistics(maps: Sequence[Tensor]) -> Tensor:
    """Averages and standard deviations over the places of each channel: float32 (N, 2 D)."""
    parts = []
    for level in maps:
        mean = level.mean(dim=(2, 3), keepdim=True)
        parts += [mean.flatten(1), ((level - mean).square().mean(dim=(2, 3)) + _EPSILON).sqrt()]
    return torch.cat(parts, dim=1)


def _whitening(covariance: np.ndarray) -> np.ndarray:
    """W with W C W^T = 1: the length of W (x - mean) is the Mahalanobis distance."""
    values, directions = np.linalg.eigh(covariance)
    return np.asarray((directions / np.sqrt(np.maximum(values, _EPSILON * values[-1]))).T)
