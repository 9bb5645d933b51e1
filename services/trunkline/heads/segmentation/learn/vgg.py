"""Weights of VGG16 with batch norm in the encoder of SegNet, which has the same 13 convolutions.

Source: Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015,
configuration D; names, batch norm and preprocessing as in torchvision's `vgg16_bn`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError

# Places of the convolutions in torchvision's `features`; the batch norm of each is the next one.
_PLACES: Final = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
_CONV: Final = ("weight", "bias")
_NORM: Final = ("weight", "bias", "running_mean", "running_var")
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
_SHOWN: Final = 3


def fill_encoder(encoder: Sequence[nn.Module], state: Mapping[str, Tensor], name: str) -> None:
    """Put the 13 convolutions of `state` with their batch norms into stages of convolution, batch norm, activation.

    VGG16 sees (p / 255 - mean) / deviation of each colour and SegNet p / 127.5 - 1; that and the bias of each
    convolution, which SegNet has not, go into the first weights and the means of the batch norms. So each stage
    computes what VGG16's does, but for the outermost pixels, which see another padding.
    name: of the file. Raises InvalidRequestError that names the keys that are missing or of another shape.
    """
    layers = [layer for stage in encoder for layer in stage.modules() if not isinstance(layer, nn.Sequential)]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    _require_fit(convolutions, norms, state, name)
    with torch.no_grad():
        for place, convolution, norm in zip(_PLACES, convolutions, norms, strict=True):
            weight, bias = (state[f"features.{place}.{key}"].to(torch.float32) for key in _CONV)
            if place == 0:
                weight, bias = _rescaled(weight, bias)
            convolution.weight.copy_(weight)
            for key in _NORM:
                getattr(norm, key).copy_(state[f"features.{place + 1}.{key}"])
            assert norm.running_mean is not None
            norm.running_mean -= bias  # (C,)


def _rescaled(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """First convolution (K, 3, 3, 3) of VGG16's pixels -> that of pixels in -1..1, with its bias (K,)."""
    mean, deviation = (torch.tensor(values)[None, :, None, None] for values in (_MEAN, _DEVIATION))
    shift = (weight * (0.5 - mean) / deviation).sum(dim=(1, 2, 3))
    return weight * 0.5 / deviation, bias + shift


def _require_fit(
    convolutions: Sequence[nn.Conv2d], norms: Sequence[nn.BatchNorm2d], state: Mapping[str, Tensor], name: str
) -> None:
    wanted: dict[str, tuple[int, ...]] = {}
    for place, convolution, norm in zip(_PLACES, convolutions, norms, strict=False):
        channels = norm.num_features
        wanted[f"features.{place}.weight"] = tuple(convolution.weight.shape)
        wanted[f"features.{place}.bias"] = (channels,)
        wanted |= {f"features.{place + 1}.{key}": (channels,) for key in _NORM}
    if len(convolutions) != len(_PLACES):
        raise InvalidRequestError(f"{name} is for SegNet in its size large, with {len(_PLACES)} convolutions")
    missing = [key for key in wanted if key not in state]
    other = [key for key in wanted if key in state and tuple(state[key].shape) != wanted[key]]
    faults = [_listed("missing", missing), _listed("of another shape", other)]
    if any(faults):
        reason = "; ".join(filter(None, faults))
        raise InvalidRequestError(f"{name} is not a VGG16 with batch norm (torchvision's vgg16_bn): {reason}")


def _listed(kind: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{kind} {', '.join(keys[:_SHOWN])}{more}"
