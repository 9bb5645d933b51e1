"""A head with a private tail: its own copy of the backbone's last stages, then the small net."""

import torch
from torch import Tensor, nn

from trunkline.training.nets.pooled import PooledNet, averaged
from trunkline.training.nets.tail import Tail


class TailedNet(nn.Module):
    """One map of the shared pass -> answers.

    The small net sees the map itself and what the tail makes of it, averaged and joined, as it did in the
    transferred head that this starts from.
    """

    def __init__(self, tail: Tail, small: PooledNet) -> None:
        super().__init__()
        self.tail, self.small = tail, small

    def learn(self, feature: Tensor) -> Tensor:
        """float32 (N, C, H, W) -> answers (N, ...)."""
        levels = [feature, *self.tail(feature)]
        return self.small.learn(torch.cat([averaged(level) for level in levels], dim=1))

    def forward(self, *features: Tensor) -> Tensor:
        return self.learn(features[0])
