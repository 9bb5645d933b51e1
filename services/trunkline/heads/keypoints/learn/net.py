"""A light decoder that ends in a heatmap for each point at a quarter of the input, and what is read off the heatmaps.

Sources: Kirillov et al., Panoptic Feature Pyramid Networks, 2019 (levels that are added, coarse to fine); Sandler et
al., MobileNetV2, 2018 (blocks); Liu et al., CoordConv, 2018 (where a place lies, as two further channels); Sun et
al., Integral Human Pose Regression, 2018 (the mean of a heatmap is the place, exact below a pixel).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trunkline.heads.blocks import InvertedResidual, plain
from trunkline.heads.keypoints.learn.places import read_off


@dataclass(frozen=True)
class Size:
    """Of the levels, fine to coarse. widths: channels; depths: blocks; kernels: sides of the blocks' windows."""

    widths: tuple[int, int, int]
    depths: tuple[int, int, int]
    kernels: tuple[int, int, int] = (5, 5, 7)


SIZES = {
    "light": Size((48, 96, 160), (1, 1, 3)),
    "medium": Size((64, 128, 224), (1, 2, 4)),
    "large": Size((96, 192, 288), (2, 2, 5)),
}


class PointNet(nn.Module):
    """Maps of strides 4, 8 and 16, float32 (N, C, H, W) -> points float32 (N, K, 4): x, y, score, visibility."""

    def __init__(self, channels: Mapping[str, int], points: int, size: Size, dropout: float) -> None:
        super().__init__()
        wide = tuple(channels.values())
        # Batch norm, as the maps of a backbone have very different ranges; in a graph it is part of the convolution.
        self.enter = nn.ModuleList(
            plain(each + 2 * (at == len(wide) - 1), width)
            for at, (each, width) in enumerate(zip(wide, size.widths, strict=True))
        )
        self.whole = nn.Linear(wide[-1], size.widths[-1])
        self.narrower = nn.ModuleList(
            plain(coarse, fine) for coarse, fine in zip(size.widths[1:], size.widths[:-1], strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(InvertedResidual(width, kernel) for _ in range(depth)))
            for width, depth, kernel in zip(size.widths, size.depths, size.kernels, strict=True)
        )
        self.drop = nn.Dropout2d(dropout)
        self.answer = nn.Conv2d(size.widths[0], points, 1)
        self.seen = nn.Linear(size.widths[-1], points)

    def learn(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Heatmaps before their softmax, float32 (N, K, h, w), and logits of visibility, float32 (N, K)."""
        coarse = maps[-1]
        whole = self.whole(coarse.mean(dim=(2, 3)))[:, :, None, None]  # (N, C, 1, 1)
        level = self.blocks[-1](torch.relu(self.enter[-1](torch.cat([coarse, _places(coarse)], dim=1)) + whole))
        seen: Tensor = self.seen(level.mean(dim=(2, 3)))
        finer = list(zip(self.enter, self.narrower, self.blocks, maps, strict=False))  # all but the coarsest
        for enter, narrower, blocks, fine in reversed(finer):
            wide = nn.functional.interpolate(narrower(level), scale_factor=2.0)
            level = blocks(torch.relu(enter(fine) + wide))
        heat: Tensor = self.answer(self.drop(level))
        return heat, seen

    def forward(self, *maps: Tensor) -> Tensor:
        return read_off(*self.learn(maps))


def _places(level: Tensor) -> Tensor:
    """x and y of each place, -1 to 1: float32 (N, 2, H, W)."""
    count, _, height, width = level.shape
    across = torch.linspace(-1, 1, width)[None, None, None, :].expand(count, 1, height, width)
    down = torch.linspace(-1, 1, height)[None, None, :, None].expand(count, 1, height, width)
    return torch.cat([across, down], dim=1)
