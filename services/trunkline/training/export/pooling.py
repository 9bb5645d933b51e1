"""Global average pooling as a plain mean.

The exporter takes an adaptive pooling to 1x1 apart into memory strides, which come out as gathers over computed
indices; a mean comes out as one node.
"""

from torch import Tensor, nn


class Mean(nn.Module):
    """(N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, values: Tensor) -> Tensor:
        return values.mean((2, 3), keepdim=True)


def as_mean(module: nn.Module) -> nn.Module | None:
    """A replacement for a global average pooling, None for any other module."""
    pools = isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))
    return Mean() if pools else None
