"""A light pyramid: maps of a backbone of any widths -> three of one width, each of which has seen the others.

Sources: Liu et al., Path Aggregation Network, 2018; Yu et al., PP-PicoDet, 2021, for depthwise convolutions of 5x5.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

_KERNEL = 5


def separable(enter: int, leave: int, stride: int = 1) -> nn.Sequential:
    """A depthwise convolution of 5x5 and one of 1x1, each with batch norm."""
    return nn.Sequential(
        Conv2dNormActivation(enter, enter, _KERNEL, stride, groups=enter),
        Conv2dNormActivation(enter, leave, 1),
    )


class LightPyramid(nn.Module):
    """Maps of strides 4, 8, 16 and 32, float32 (N, C, H, W), fine to coarse -> levels of strides 8, 16 and 32."""

    def __init__(self, widths: Sequence[int], width: int, depth: int) -> None:
        """widths: channels of the four maps. width: of the levels. depth: blocks of each level and way."""
        super().__init__()
        finest, *others = widths
        # Batch norm, as the maps of a backbone have very different ranges; in a graph it is part of the convolution.
        self.fine = Conv2dNormActivation(finest, width, 2, 2, padding=0, activation_layer=None)
        self.enter = nn.ModuleList(Conv2dNormActivation(each, width, 1, activation_layer=None) for each in others)
        self.up = nn.ModuleList(_blocks(width, depth) for _ in others)
        self.smaller = nn.ModuleList(separable(width, width, 2) for _ in others[1:])
        self.down = nn.ModuleList(_blocks(width, depth) for _ in others[1:])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        entered = [enter(each) for enter, each in zip(self.enter, maps[1:], strict=True)]
        entered[0] = entered[0] + self.fine(maps[0])
        found = [self.up[-1](torch.relu(entered[-1]))]  # coarse to fine
        for block, each in zip(reversed(self.up[:-1]), reversed(entered[:-1]), strict=True):
            found.append(block(torch.relu(each + nn.functional.interpolate(found[-1], scale_factor=2.0))))
        levels = [found.pop()]
        for smaller, block in zip(self.smaller, self.down, strict=True):
            levels.append(block(smaller(levels[-1]) + found.pop()))
        return levels


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = separable(width, width)

    def forward(self, level: Tensor) -> Tensor:
        found: Tensor = level + self.inner(level)
        return found


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(depth)))
