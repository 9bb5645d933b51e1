"""The feature contract on the torch side: what a network gives out, found by the shapes of its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trunkline.core.bundle import FeatureSpec, Origin
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec

LEVELS: Mapping[str, int] = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}  # names and strides
POOLED = "pooled"
# Height and width differ, and no stride turns one into the other, so that axes cannot be mixed up.
PROBE_HEIGHT, PROBE_WIDTH = 160, 224


@dataclass(frozen=True)
class Network:
    """A network in evaluation mode, and what its makers say of it.

    net: float32 (N, 3, H, W), scaled -> logits (N, classes).
    extractor: the same input -> features by name, sharing the modules of `net`.
    mean, std: of pixels from 0 to 1, by channel.
    """

    architecture: str
    net: nn.Module
    extractor: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    preprocess: PreprocessSpec
    origin: Origin


class FeatureNet(nn.Module):
    """A whole backbone: uint8 (N, H, W, 3) RGB -> the named features, in order."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, extractor: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.extractor = extractor
        self.names = tuple(names)
        self.register_buffer("mean", torch.tensor(network.mean).reshape(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(network.std).reshape(1, 3, 1, 1) * 255)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        pixels = image.permute(0, 3, 1, 2).to(torch.float32)  # (N, H, W, 3) -> (N, 3, H, W)
        features = self.extractor((pixels - self.mean) / self.std)
        return tuple(features[name] for name in self.names)


def probe(batch: int = 2) -> Tensor:
    """float32 (batch, 3, 160, 224): the same numbers at each call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, PROBE_HEIGHT, PROBE_WIDTH, generator=generator)


def stride_of(value: Any) -> int | None:
    """The stride at which a tensor made of `probe()` lies; None where it is no map of one of the LEVELS."""
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    for stride in LEVELS.values():
        if value.shape[2:] == (PROBE_HEIGHT // stride, PROBE_WIDTH // stride):
            return stride
    return None


def last_of_each_stride(values: Mapping[str, Any]) -> dict[str, str]:
    """Feature name -> key of the last map with its stride; what comes last at a resolution knows the most."""
    names = {stride: name for name, stride in LEVELS.items()}
    found = {names[stride]: key for key, value in values.items() if (stride := stride_of(value)) is not None}
    return {name: found[name] for name in LEVELS if name in found}


@torch.inference_mode()
def find_features(network: Network) -> tuple[FeatureSpec, ...]:
    """Names, channels and strides of what the extractor gives out.

    Raises InvalidRequestError where there is nothing that heads could use.
    """
    found: Mapping[str, Tensor] = network.extractor(probe())
    specs = [_spec(name, value) for name, value in found.items()]
    if not any(spec.stride for spec in specs):
        raise no_features(network.architecture, "none of its tensors has a stride of 4, 8, 16 or 32")
    return tuple(specs)


def no_features(architecture: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{architecture} has no usable features ({reason}): a backbone is a convolutional network that takes "
        "pictures of any size that is a multiple of 32"
    )


def first_line(error: Exception) -> str:
    """The first line of an exception's text, at most 160 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(". ") if lines else type(error).__name__


def _spec(name: str, value: Tensor) -> FeatureSpec:
    return FeatureSpec(name=name, channels=value.shape[1], stride=stride_of(value) or 0)
