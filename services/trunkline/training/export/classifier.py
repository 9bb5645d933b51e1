"""A network's own classifier as a head on `pooled`, and the names of its classes."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models._meta import _IMAGENET_CATEGORIES

from trunkline.core.errors import InvalidRequestError
from trunkline.core.labels import labels_of
from trunkline.training.export.network import POOLED, Network, probe

_TOLERANCE = 1e-4
_ATTRIBUTES = ("classifier", "fc", "head", "heads")  # where timm and torchvision keep classifiers


class Classifier(nn.Module):
    """pooled float32 (N, C) -> logits float32 (N, classes)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.inner(pooled)
        return logits


@torch.inference_mode()
def find_classifier(network: Network) -> Classifier:
    """The module that makes the network's logits of its pooled vector, found by trying.

    Raises InvalidRequestError where there is none, as with VGG, whose classifier sees where things are.
    """
    pixels = probe()
    logits, pooled = network.net(pixels), network.extractor(pixels)[POOLED]
    for candidate in _candidates(network.net):
        if _answers(candidate, pooled, logits):
            return Classifier(candidate)
    raise InvalidRequestError(
        f"the classifier of {network.architecture} does not work on the pooled vector: leave --classifier out"
    )


def class_names(count: int, file: Path | None) -> tuple[str, ...]:
    """Names of `count` classes, from a file with one a line or, for 1,000, those of ImageNet.

    Raises InvalidRequestError where there are none, or not as many.
    """
    if file is None and count != len(_IMAGENET_CATEGORIES):
        raise InvalidRequestError(f"the names of {count} classes are not known: give a file with --labels FILE")
    names = tuple(_IMAGENET_CATEGORIES) if file is None else _read_names(file)
    if len(names) != count:
        raise InvalidRequestError(f"{file} has {len(names)} names, the classifier {count} classes")
    return names


def _read_names(file: Path) -> tuple[str, ...]:
    try:
        return labels_of(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{file} cannot be read: give a text file with one class name per line") from error


def _candidates(net: nn.Module) -> Iterator[nn.Module]:
    yield from (layer for layer in reversed(list(net.modules())) if isinstance(layer, nn.Linear))
    yield from (getattr(net, name) for name in _ATTRIBUTES if isinstance(getattr(net, name, None), nn.Module))


def _answers(candidate: nn.Module, pooled: Tensor, logits: Tensor) -> bool:
    try:
        found = candidate(pooled)
    except Exception:  # a module for other shapes says so in its own way
        return False
    same_shape = isinstance(found, Tensor) and found.shape == logits.shape
    return same_shape and torch.allclose(found, logits, rtol=_TOLERANCE, atol=_TOLERANCE)
