"""Stored maps of several features, as batches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from trunkline.core.cpu import available_cores
from trunkline.training.features import Stored


class StoredMaps:
    """views: for each view, one for each picture. names: of the features whose maps are kept."""

    def __init__(self, views: Sequence[Sequence[Stored]], names: Sequence[str]) -> None:
        self._views, self._names = views, tuple(names)
        self._pool = ThreadPoolExecutor(available_cores())

    def __len__(self) -> int:
        return len(self._views[0])

    def any_view(self, count: int) -> list[int]:
        """A view for each of so many pictures, at random."""
        found: list[int] = torch.randint(len(self._views), (count,)).tolist()
        return found

    def maps(self, indices: Sequence[int], views: Sequence[int]) -> dict[str, Tensor]:
        """float32 (N, C, H, W) by name."""
        stored = [self._views[view][index] for view, index in zip(views, indices, strict=True)]
        return {name: self._maps(stored, name) for name in self._names}

    def _maps(self, stored: Sequence[Stored], name: str) -> Tensor:
        found = np.stack(list(self._pool.map(lambda item: item.map(name), stored)))
        return torch.from_numpy(found).to(torch.float32, memory_format=torch.channels_last)
