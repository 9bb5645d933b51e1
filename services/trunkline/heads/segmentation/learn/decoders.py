"""Decoders on the maps of a backbone: a light one, and those of segmentation_models_pytorch."""

from collections.abc import Mapping, Sequence
from typing import Literal

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from trunkline.heads.segmentation.learn.light import LIGHT_SIZES, LightDecoder

Name = Literal["light", "unet", "fpn", "deeplabv3plus", "pan", "upernet"]
Size = Literal["light", "medium", "large"]

_UNET = {"light": (96, 64, 32, 16), "medium": (128, 96, 64, 32), "large": (256, 128, 96, 64)}
_WIDTH = {"light": 64, "medium": 128, "large": 256}


class MapNet(nn.Module):
    """Maps of strides 4 to 32, in order, float32 (N, C, H, W) -> logits float32 (N, classes, h, w).

    The decoder of a U-Net ends at half of the size of the input, the others at a quarter.
    """

    def __init__(self, decoder: nn.Module, width: int, classes: int, dropout: float, kernel: int = 3) -> None:
        super().__init__()
        self.decoder = decoder
        self.drop = nn.Dropout2d(dropout)
        self.answer = nn.Conv2d(width, classes, kernel, padding=kernel // 2)

    def learn(self, maps: Sequence[Tensor]) -> Tensor:
        found: Tensor = self.answer(self.drop(self.decoder(maps)))
        return found

    def forward(self, *maps: Tensor) -> Tensor:
        return self.learn(maps)


class _Unet(nn.Module):
    """Without the block for stride 1, which costs as much as all the others and says little more."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.decoder = smp.decoders.unet.decoder.UnetDecoder((0, *channels), widths, n_blocks=len(widths))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        found: Tensor = self.decoder([_half_of_the_input(maps[0]), *maps])
        return found


class _DeepLab(nn.Module):
    """Its context module works at stride 16; c5, which is coarser, is joined to c4 there."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        joined = (3, 0, *channels[:-2], channels[-2] + channels[-1])
        self.decoder = smp.decoders.deeplabv3.decoder.DeepLabV3PlusDecoder(
            joined, 4, width, atrous_rates=(6, 12, 18), output_stride=16, aspp_separable=True, aspp_dropout=0.0
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *fine, c4, c5 = maps
        context = torch.cat([c4, nn.functional.interpolate(c5, size=c4.shape[2:], mode="bilinear")], dim=1)
        found: Tensor = self.decoder([fine[0], fine[0], *fine, context])  # the first two are not read
        return found


class _FromQuarter(nn.Module):
    """A decoder of the library that reads the maps from stride 4 on."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        found: Tensor = self.decoder([maps[0], maps[0], *maps])  # the first two are not read
        return found


def decoder_net(name: Name, size: Size, channels: Mapping[str, int], classes: int, dropout: float) -> MapNet:
    """channels: of the maps c2 to c5, in this order."""
    widths, width = tuple(channels.values()), _WIDTH[size]
    if name == "light":
        light = LIGHT_SIZES[size]
        return MapNet(LightDecoder(widths, light), light.widths[0], classes, dropout, kernel=1)
    if name == "unet":
        return MapNet(_Unet(widths, _UNET[size]), _UNET[size][-1], classes, dropout)
    if name == "deeplabv3plus":
        return MapNet(_DeepLab(widths, width), width, classes, dropout)
    decoders, all_widths = smp.decoders, (3, 0, *widths)
    if name == "fpn":
        decoder = decoders.fpn.decoder.FPNDecoder(all_widths, 5, width, width, dropout=0.0)
    elif name == "pan":
        decoder = decoders.pan.decoder.PANDecoder(all_widths, 5, width)
    else:
        decoder = decoders.upernet.decoder.UPerNetDecoder(all_widths, 5, width)
    return MapNet(_FromQuarter(decoder), width, classes, dropout)


def _half_of_the_input(map_: Tensor) -> Tensor:
    """An empty map of stride 2, of which the decoder reads the size alone."""
    return torch.empty((1, 0, 2 * map_.shape[2], 2 * map_.shape[3]), dtype=map_.dtype)
