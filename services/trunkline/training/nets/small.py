"""Small nets that are trained from scratch on the pixels themselves."""

import math

import torch
from torch import Tensor, nn

_WIDTHS = (32, 64, 128, 256, 256)
_SMALL_WIDTHS = (16, 32, 64, 128)
_SMALL = 64  # pixels; larger pictures are halved by the first convolution
LENET_SIDE = 32
_PLACES, _HIDDEN = 4, 128


class PixelNet(nn.Module):
    """`image` uint8 (N, H, W, C) -> answers. The scaling to -1..1 is a part of the net."""

    def __init__(self, body: nn.Module, answer: nn.Module) -> None:
        super().__init__()
        self.body, self.answer = body, answer

    def learn(self, image: Tensor) -> Tensor:
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)  # (N, C, H, W)
        found: Tensor = self.answer(self.body((pixels - 127.5) / 127.5))
        return found

    def forward(self, *features: Tensor) -> Tensor:
        return self.learn(features[0])


def lenet5(channels: int, dropout: float) -> tuple[nn.Module, int]:
    """The body for pictures of 32x32, and its width. ReLU and maximum pooling in place of the original's.

    Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998, section II.B.
    """
    body = nn.Sequential(
        nn.Conv2d(channels, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
    return body, 84


def conv4(channels: int, height: int, width: int) -> tuple[nn.Module, int]:
    """The body of four blocks of 64 channels, each halving the picture, and its width: all places of the last.

    Source: Vinyals et al., Matching Networks for One Shot Learning, 2016, section 4.1.1; Snell, Swersky, Zemel, 2017.
    """
    layers: list[nn.Module] = []
    for before in (channels, 64, 64, 64):
        layers += [*_stage(before, 64), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten()), 64 * (height // 16) * (width // 16)


def plain_cnn(channels: int, height: int, width: int, dropout: float) -> tuple[nn.Module, int]:
    """Stages of two 3x3 convolutions with batch norm, halved until 4 pixels are left; and its width.

    Small pictures keep the 4x4 places of the last stage, which a further layer joins; large ones are averaged.
    """
    side = min(height, width)
    steps = max(1, int(math.log2(side / 4)))
    widths = _WIDTHS if side > _SMALL else _SMALL_WIDTHS
    layers: list[nn.Module] = []
    before = channels
    if side > _SMALL:
        layers += _stage(before, widths[0], stride=2)
        before, steps = widths[0], steps - 1
    for after in widths[:steps]:
        layers += [*_stage(before, after), *_stage(after, after), nn.MaxPool2d(2)]
        before = after
    if side <= _SMALL and height == width:
        places = [nn.AdaptiveAvgPool2d(_PLACES), nn.Flatten(), nn.Linear(before * _PLACES**2, _HIDDEN), nn.ReLU()]
        return nn.Sequential(*layers, *places, nn.Dropout(dropout)), _HIDDEN
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)), before


def _stage(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
