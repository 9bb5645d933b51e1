"""SegNet: an encoder like VGG's, and a decoder that puts values back where pooling took them from.

Source: Badrinarayanan, Kendall, Cipolla, SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation, PAMI 39 (2017), section 3.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from trunkline.heads.segmentation.learn.vgg import fill_encoder

Size = Literal["light", "medium", "large"]

# (channels, convolutions) of each stage; "large" is the paper's, with the encoder of VGG16.
_STAGES = {
    "light": ((24, 1), (48, 1), (96, 2), (128, 2), (128, 2)),
    "medium": ((32, 2), (64, 2), (128, 2), (256, 2), (256, 2)),
    "large": ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
}
STRIDE = 32


class SegNet(nn.Module):
    """`image` uint8 (N, H, W, C) -> logits float32 (N, classes, H, W). The scaling to -1..1 is a part of the net.

    outliers: share of its values that may differ between runtimes. Pooling keeps the place of the largest value of a
    window; where two are nearly the same, the last bit decides, and what is put back lies one pixel beside.
    """

    outliers = 0.005

    def __init__(self, channels: int, classes: int, size: Size) -> None:
        super().__init__()
        stages = _STAGES[size]
        before = [channels, *(width for width, _ in stages[:-1])]
        self.encoder = nn.ModuleList(
            _stage(enter, width, width, count) for enter, (width, count) in zip(before, stages, strict=True)
        )
        after = [stages[0][0], *(width for width, _ in stages[:-1])]
        self.decoder = nn.ModuleList(
            _stage(width, width, leave, count)
            for leave, (width, count) in reversed(list(zip(after, stages, strict=True)))
        )
        self.answer = nn.Conv2d(stages[0][0], classes, 3, padding=1)

    def begin_with(self, state: Mapping[str, Tensor], name: str) -> None:
        """Begin the encoder with a VGG16 with batch norm, a state dict as torchvision's; it fits the size "large".

        name: of the file. Raises InvalidRequestError that names what does not fit.
        """
        fill_encoder(list(self.encoder), state, name)

    def learn(self, image: Tensor) -> Tensor:
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)  # (N, C, H, W)
        found = (pixels - 127.5) / 127.5
        places = []
        for stage in self.encoder:
            found, where = nn.functional.max_pool2d(stage(found), 2, return_indices=True)
            places.append(where)
        for stage in self.decoder:
            found = stage(nn.functional.max_unpool2d(found, places.pop(), [2, 2]))
        logits: Tensor = self.answer(found)
        return logits

    def forward(self, *features: Tensor) -> Tensor:
        return self.learn(features[0])


def _stage(enter: int, inside: int, leave: int, count: int) -> nn.Sequential:
    """`count` convolutions with batch norm: enter -> inside … -> leave channels."""
    widths = [enter, *[inside] * (count - 1), leave]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
