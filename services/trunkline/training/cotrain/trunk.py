"""The trunk: a copy of a backbone of which the last stages are trained, from its ONNX file and back into one.

Batch norms are part of the convolutions in that file, so their statistics are frozen from the first step on: batches
of tasks that look different do not disturb each other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import PreprocessSpec
from trunkline.serving.session import OnnxSession
from trunkline.training.export.checks import check_backbone, check_batches
from trunkline.training.export.graph import finished_file
from trunkline.training.export.request import Parity
from trunkline.training.export.samples import load_samples
from trunkline.training.nets.tail import Tail

_BATCHED = PreprocessSpec(crop_share=0.875)  # 224x224, as at any export


class Trunk(nn.Module):
    """Features after `start` from the map of `start`: float32 (N, C, H, W) -> tensors by name."""

    def __init__(self, backbone: Bundle[BackboneManifest], start: str) -> None:
        """Raises InvalidRequestError where no feature follows on `start`, or an operation cannot be trained."""
        super().__init__()
        self.start = start
        model = backbone.read_model()
        names = [feature.name for feature in backbone.manifest.features]
        if start not in names:
            raise InvalidRequestError(
                f"trained_after: the backbone has no feature {start!r}; it has {', '.join(names)}"
            )
        self.after = tuple(name for name in names if name != start and _follows(model, start, name))
        if not self.after:
            raise InvalidRequestError(f"trained_after: nothing follows on {start!r}: name an earlier feature")
        self.tail = Tail(model, start, self.after)

    def forward(self, feature: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        names = [name for name in self.after if name in wanted]
        return dict(zip(names, self.tail(feature, names), strict=True)) if names else {}


def _follows(model: bytes, start: str, name: str) -> bool:
    try:
        Tail(model, start, (name,))
    except InvalidRequestError as error:
        if "cannot be computed" in error.message:
            return False
        raise
    return True


@dataclass(frozen=True)
class Checked:
    """The ONNX file of a trunk, and how far it is from torch. batch_difference: relative."""

    model: bytes
    session: OnnxSession
    parity: tuple[Parity, ...]
    batch_difference: float


def exported(trunk: Trunk, backbone: Bundle[BackboneManifest], name: str) -> Checked:
    """The file of the backbone with what the trunk has learned, compared with torch as any backbone is.

    Raises ModelInvalidError where ONNX Runtime computes something else.
    """
    trunk.eval().to(memory_format=torch.contiguous_format)
    before = backbone.read_model()
    model = finished_file(onnx.load_from_string(trunk.tail.put_into(before)))
    session = OnnxSession(model, name)
    samples = load_samples(())
    parity = check_backbone(session, _Reference(trunk, OnnxSession(before, backbone.manifest.name), session), samples)
    return Checked(model, session, parity, check_batches(session, samples.pictures(_BATCHED)))


class _Reference:
    """Up to `start` the backbone as it was, from there torch."""

    def __init__(self, trunk: Trunk, before: OnnxSession, session: OnnxSession) -> None:
        self.names = session.outputs
        self._trunk, self._before = trunk, before

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        found = {name: torch.from_numpy(value) for name, value in self._before.run({IMAGE: image.numpy()}).items()}
        found |= self._trunk(found[self._trunk.start], self._trunk.after)
        return tuple(found[name] for name in self.names)


def golden_of(
    session: OnnxSession, backbone: Bundle[BackboneManifest]
) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    """The picture of the backbone's own golden file, with what the trunk makes of it; maps by their means (1, C)."""
    inputs = {IMAGE: backbone.read_golden()[0][IMAGE]}
    outputs = session.run(inputs)
    return inputs, {name: value.mean(axis=(2, 3)) if value.ndim == 4 else value for name, value in outputs.items()}
