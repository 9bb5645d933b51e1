"""The lecture's autoencoder, on features: what passes a narrow middle badly was not among the good pictures."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trunkline.heads.anomaly.learn.places import joined

_WIDTH, _MIDDLE = 96, 24


class AutoencoderNet(nn.Module):
    """Maps float32 (N, C, H, W) -> distances float32 (N, 1, h, w): how badly each place is reconstructed."""

    def __init__(self, channels: Mapping[str, int], grid: int, dropout: float) -> None:
        super().__init__()
        width, self._grid = sum(channels.values()), grid
        # Without weights of its own: what is reconstructed must not shrink, or the loss would.
        self.scale = nn.BatchNorm2d(width, affine=False)
        self.encoder = nn.Sequential(
            nn.Dropout2d(dropout), nn.Conv2d(width, _WIDTH, 1), nn.ReLU(), nn.Conv2d(_WIDTH, _MIDDLE, 1)
        )
        self.decoder = nn.Sequential(nn.Conv2d(_MIDDLE, _WIDTH, 1), nn.ReLU(), nn.Conv2d(_WIDTH, width, 1))

    def forward(self, *maps: Tensor) -> Tensor:
        return self.learn(maps)

    def learn(self, maps: Sequence[Tensor]) -> Tensor:
        places = self.scale(joined(maps, self._grid))
        missed = self.decoder(self.encoder(places)) - places
        return torch.sqrt(missed.square().mean(dim=1, keepdim=True) + 1e-12)
