"""Data sets for `fit` that give whole batches: (inputs, truth) for a list of indices."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trunkline.core.cpu import available_cores
from trunkline.core.train_choices import Augmentation
from trunkline.training.augment import transform
from trunkline.training.bent import bent
from trunkline.training.features import Stored

Batch = tuple[Tensor, Tensor]


class VectorBatches(Dataset[Batch]):
    """Stored vectors; each time one of the views of a sample, at random."""

    def __init__(self, views: Sequence[Sequence[Stored]], truth: np.ndarray) -> None:
        vectors = np.stack([np.stack([item.vector() for item in view]) for view in views])
        self.vectors = torch.from_numpy(vectors)  # float32 (views, N, C)
        self.truth = torch.from_numpy(truth)

    def __len__(self) -> int:
        return len(self.truth)

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        return self.vectors[_any_view(len(self.vectors), len(rows)), rows], self.truth[rows]


class MapBatches(Dataset[Batch]):
    """Stored maps, read from disk when they are needed; each time one of the views of a sample, at random."""

    def __init__(self, views: Sequence[Sequence[Stored]], name: str, truth: np.ndarray) -> None:
        self._views, self._name = views, name
        self.truth = torch.from_numpy(truth)
        self._pool = ThreadPoolExecutor(available_cores())

    def __len__(self) -> int:
        return len(self.truth)

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = _any_view(len(self._views), len(indices)).tolist()
        stored = [self._views[view][index] for view, index in zip(chosen, indices, strict=True)]
        maps = np.stack(list(self._pool.map(lambda item: item.map(self._name), stored)))
        inputs = torch.from_numpy(maps).to(torch.float32, memory_format=torch.channels_last)
        return inputs, self.truth[torch.as_tensor(indices)]


class PixelBatches(Dataset[Batch]):
    """Pixels uint8 (N, H, W, C) in memory, each time augmented anew."""

    def __init__(self, pixels: np.ndarray, truth: np.ndarray, augmentation: Augmentation) -> None:
        self.pixels, self.truth = torch.from_numpy(pixels), torch.from_numpy(truth)
        self._augmented = None if augmentation == "none" else _augmented(augmentation, *pixels.shape[1:3])

    def __len__(self) -> int:
        return len(self.truth)

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        pixels = self.pixels[rows]
        if self._augmented is not None:
            pixels = self._augmented(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()
        return pixels, self.truth[rows]


def _augmented(kind: Augmentation, height: int, width: int) -> Callable[[Tensor], Tensor]:
    """uint8 (N, C, H, W) -> the same shape, each picture in its own way."""
    if kind == "turns":
        return bent
    one = transform(kind, height, width)
    return lambda pixels: torch.stack([one(image) for image in pixels])


def _any_view(views: int, count: int) -> Tensor:
    return torch.randint(views, (count,)) if views > 1 else torch.zeros(count, dtype=torch.int64)
