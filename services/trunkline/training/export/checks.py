"""Torch against ONNX Runtime, through the session that serves."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trunkline.core.errors import ModelInvalidError
from trunkline.core.preprocess import Pixels, PreprocessSpec
from trunkline.serving.session import OnnxSession
from trunkline.training.export.classifier import Classifier
from trunkline.training.export.request import Parity
from trunkline.training.export.samples import Samples

SIZES = ((224, 224), (256, 320), (32, 32))  # height, width; the last is the smallest that there is
_TOLERANCE = 1e-3  # relative to the largest value, at least to 1
_BATCH_TOLERANCE = 1e-4


class Reference(Protocol):
    """A whole backbone in torch: uint8 (N, H, W, 3) RGB -> the features of these names, in order."""

    names: tuple[str, ...]

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]: ...


def check_backbone(session: OnnxSession, reference: Reference, samples: Samples) -> tuple[Parity, ...]:
    """Every feature at every size. `reference` is the network as its library made it, paddings included.

    Raises ModelInvalidError where ONNX Runtime computes something else than torch.
    """
    found = [parity for size in SIZES for parity in _parities(session, reference, samples, size)]
    for parity in found:
        _require(parity)
    return tuple(found)


def check_batches(session: OnnxSession, pictures: Pixels) -> float:
    """Largest relative difference between a batch of N and N batches of 1; `pictures` is uint8 (N, H, W, 3).

    Raises ModelInvalidError where a picture's answer depends on its neighbours.
    """
    together = session.run({"image": pictures})
    apart = [session.run({"image": pictures[i : i + 1]}) for i in range(len(pictures))]
    worst = max(
        _compare(name, np.concatenate([one[name] for one in apart]), value, pictures.shape[1:3]).relative
        for name, value in together.items()
    )
    if worst > _BATCH_TOLERANCE:
        raise ModelInvalidError(f"a batch gives other answers than its images one by one, by {worst:.2g}")
    return worst


def check_classifier(session: OnnxSession, classifier: Classifier, pooled: np.ndarray) -> Parity:
    """Logits of `pooled`, float32 (N, C). Raises ModelInvalidError where the two differ."""
    with torch.inference_mode():
        want = classifier(torch.from_numpy(pooled)).numpy()
    parity = _compare("logits", want, session.run({"pooled": pooled})["logits"], (0, 0))
    _require(parity)
    return parity


def _parities(session: OnnxSession, reference: Reference, samples: Samples, size: tuple[int, int]) -> list[Parity]:
    pictures = samples.pictures(PreprocessSpec(resize="squash", height=size[0], width=size[1]))
    with torch.inference_mode():
        wanted = reference(torch.from_numpy(pictures))
    found = session.run({"image": pictures}, reference.names)
    return [
        _compare(name, want.numpy(), found[name], size) for name, want in zip(reference.names, wanted, strict=True)
    ]


def _compare(name: str, want: np.ndarray, found: np.ndarray, size: Sequence[int]) -> Parity:
    if want.shape != found.shape:
        raise ModelInvalidError(f"output {name!r} has shape {found.shape}, torch gives {want.shape}")
    difference = float(np.abs(want.astype(np.float64) - found).max())
    return Parity(name, size[0], size[1], difference, max(1.0, float(np.abs(want).max())))


def _require(parity: Parity) -> None:
    if not parity.relative <= _TOLERANCE:  # so that NaN fails too
        raise ModelInvalidError(
            f"ONNX Runtime and torch differ in {parity.output!r} at {parity.width}x{parity.height} by "
            f"{parity.max_difference:.2g} (values up to {parity.scale:.2g}): nothing was written"
        )
