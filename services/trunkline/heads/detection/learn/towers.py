"""Convolutions that all levels of a pyramid share, with batch norms of their own for each level.

Source: Lyu et al., RTMDet, 2022, section 3.3: objects of one level have other statistics than those of another, while
what to look for is the same.
"""

from collections.abc import Sequence

from torch import Tensor, nn

_KERNEL = 5


class Tower(nn.Module):
    """Levels float32 (N, C, H, W), fine to coarse -> the same shapes."""

    def __init__(self, width: int, depth: int, levels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, levels) for _ in range(depth))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        found = list(levels)
        for layer in self.layers:
            found = [layer(each, number) for number, each in enumerate(found)]
        return found


class _Layer(nn.Module):
    """A depthwise convolution of 5x5 and one of 1x1."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2 * levels))

    def forward(self, level: Tensor, number: int) -> Tensor:
        inner = self.norms[2 * number](self.depthwise(level)).relu()
        found: Tensor = self.norms[2 * number + 1](self.pointwise(inner)).relu()
        return found
