"""Pieces of nets that several tasks build on. For training alone, as it needs torch."""

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

_WIDER = 2


class InvertedResidual(nn.Module):
    """Wider, over the neighbourhood of each channel, and back: added to what there was. (N, C, H, W) -> the same.

    Source: Sandler et al., MobileNetV2, 2018, section 3.3.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        inner = _WIDER * width
        self.inner = nn.Sequential(
            Conv2dNormActivation(width, inner, 1),
            Conv2dNormActivation(inner, inner, kernel, groups=inner),
            plain(inner, width),
        )

    def forward(self, level: Tensor) -> Tensor:
        found: Tensor = level + self.inner(level)
        return found


def plain(enter: int, leave: int) -> Conv2dNormActivation:
    """A convolution of 1x1 with its norm and no activation."""
    return Conv2dNormActivation(enter, leave, 1, activation_layer=None)
