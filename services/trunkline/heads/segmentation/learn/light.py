"""A light decoder: most of its work is done where there are few places, and it ends at a quarter of the input.

Sources: Kirillov et al., Panoptic Feature Pyramid Networks, 2019 (levels that are added, coarse to fine); Sandler et
al., MobileNetV2, 2018 (blocks); Liu et al., ParseNet, 2015 (what the whole picture shows, added everywhere).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trunkline.heads.blocks import InvertedResidual, plain

_KERNEL = 5


@dataclass(frozen=True)
class LightSize:
    """Of the levels, fine to coarse. widths: channels; depths: blocks."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


LIGHT_SIZES = {
    "light": LightSize((48, 80, 160, 160), (1, 1, 2, 2)),
    "medium": LightSize((64, 128, 256, 256), (1, 2, 3, 2)),
    "large": LightSize((96, 192, 384, 384), (2, 2, 4, 3)),
}


class LightDecoder(nn.Module):
    """Maps of strides 4 to 32, float32 (N, C, H, W), fine to coarse -> float32 (N, widths[0], h, w) of stride 4."""

    def __init__(self, channels: Sequence[int], size: LightSize) -> None:
        super().__init__()
        widths = size.widths
        # Batch norm, as the maps of a backbone have very different ranges; in a graph it is part of the convolution.
        self.enter = nn.ModuleList(plain(each, width) for each, width in zip(channels, widths, strict=True))
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels[-1], widths[-1], 1))
        self.narrower = nn.ModuleList(
            plain(coarse, fine) for coarse, fine in zip(widths[1:], widths[:-1], strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(InvertedResidual(width, _KERNEL) for _ in range(depth)))
            for width, depth in zip(widths, size.depths, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        found = self.blocks[-1](torch.relu(self.enter[-1](maps[-1]) + self.whole(maps[-1])))
        levels = list(zip(self.enter, self.narrower, self.blocks, maps, strict=False))  # all but the coarsest
        for enter, narrower, blocks, fine in reversed(levels):
            wide = nn.functional.interpolate(narrower(found), scale_factor=2.0)
            found = blocks(torch.relu(enter(fine) + wide))
        result: Tensor = found
        return result
