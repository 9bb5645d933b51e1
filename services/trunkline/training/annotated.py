"""Data sets for `fit` of tasks whose truth has places: each view of a picture comes with the truth of that view."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trunkline.core.cpu import available_cores
from trunkline.heads.learner import MapLearner
from trunkline.training.data.dataset import Sample
from trunkline.training.features import Recipe, Stored, annotated_view, annotation_of_view


class AnnotatedMaps(Dataset[Any]):
    """Stored maps, each time one of the views of a sample, at random: ([float32 (N, C, H, W) …], truth)."""

    def __init__(
        self, samples: Sequence[Sample], views: Sequence[Sequence[Stored]], recipe: Recipe, learner: MapLearner
    ) -> None:
        self._samples, self._views, self._recipe, self._learner = samples, views, recipe, learner
        self._pool = ThreadPoolExecutor(available_cores())

    @property
    def views(self) -> int:
        """How many there are of each picture."""
        return len(self._views)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, indices: list[int]) -> tuple[list[Tensor], Any]:
        return self.of_views(indices, self.any_views(len(indices)))

    def any_views(self, count: int) -> list[int]:
        """A view for each of so many pictures, at random."""
        found: list[int] = torch.randint(len(self._views), (count,)).tolist()
        return found

    def of_views(self, indices: list[int], views: list[int]) -> tuple[list[Tensor], Any]:
        """A batch of these views of these pictures."""
        seen = list(self._pool.map(self._one, indices, views))
        maps = [np.stack([item[0][name] for item in seen]) for name in self._recipe.maps]
        inputs = [torch.from_numpy(each).to(torch.float32, memory_format=torch.channels_last) for each in maps]
        return inputs, self._learner.collate([item[1] for item in seen])

    def _one(self, index: int, view: int) -> tuple[dict[str, np.ndarray], Any]:
        sample, stored = self._samples[index], self._views[view][index]
        annotation = annotation_of_view(sample, sample.encoded(), self._recipe, view, self._learner.annotation)
        return {name: stored.map(name) for name in self._recipe.maps}, annotation


class AnnotatedPixels(Dataset[Any]):
    """Pictures, each time augmented anew: (uint8 (N, H, W, C), truth). views: 0 for pictures as they are."""

    def __init__(self, samples: Sequence[Sample], views: int, recipe: Recipe, learner: MapLearner) -> None:
        self._samples, self._views, self._recipe, self._learner = samples, views, recipe, learner
        self._pool = ThreadPoolExecutor(available_cores())

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Any]:
        views = torch.randint(self._views + 1, (len(indices),)).tolist()
        seen = list(self._pool.map(self._one, indices, views))
        pixels = torch.from_numpy(np.concatenate([item[0] for item in seen]))
        return pixels, self._learner.collate([item[1] for item in seen])

    def _one(self, index: int, view: int) -> tuple[np.ndarray, Any]:
        sample = self._samples[index]
        return annotated_view(sample, sample.encoded(), self._recipe, view, self._learner.annotation)
