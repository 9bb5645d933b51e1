"""A small net on averaged features, the same for stored vectors and for the maps themselves."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PooledNet(nn.Module):
    """Features of several levels to an answer.

    Maps (N, C, H, W) are averaged over H and W, vectors (N, C) taken as they are; all are joined, standardised by
    the mean and spread of the training data, and go through dropout into the answer layer of the task. Several
    levels together know more than the last one alone.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, widths: Mapping[str, int], answer: nn.Module, dropout: float) -> None:
        super().__init__()
        total = sum(widths.values())
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("spread", torch.ones(total))
        self.answer = nn.Sequential(nn.Dropout(dropout), answer)

    def standardise(self, vectors: Tensor) -> None:
        """Learn mean and spread from float32 (N, total). A channel that never changes is left as it is."""
        spread, mean = torch.std_mean(vectors, dim=0, correction=0)
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def learn(self, vectors: Tensor) -> Tensor:
        """Joined vectors float32 (N, total) -> answers (N, ...)."""
        found: Tensor = self.answer(self.standardised(vectors))
        return found

    def standardised(self, vectors: Tensor) -> Tensor:
        """Joined vectors float32 (N, total), with mean and spread of the training data 0 and 1."""
        return (vectors - self.mean) / self.spread

    def forward(self, *features: Tensor) -> Tensor:
        """Features in the order of the widths -> answers."""
        return self.learn(torch.cat([averaged(feature) for feature in features], dim=1))


def averaged(feature: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C); (N, C) stays."""
    return feature.mean(dim=(2, 3)) if feature.ndim == 4 else feature
