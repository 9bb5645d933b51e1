"""A head of one task as the teacher of another: its answers are learned from beside the labels.

Sources: Hinton et al., Distilling the Knowledge in a Neural Network, 2015, for classes; Park et al., Relational
Knowledge Distillation, 2019, section 3.2, for vectors, which need not be of the same length.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.train_request import TrainRequest
from trunkline.serving.session import load_session
from trunkline.training.features import FeatureStore

_CLASSES, _VECTORS = "logits", "embedding"


class AnswerStore(FeatureStore):
    """What a head answers before it is decoded, for views of pictures, kept as features are."""

    def __init__(self, head: Bundle[HeadManifest], backbone: Bundle[BackboneManifest], folder: Path) -> None:
        super().__init__(backbone, folder)
        self._digest = f"{self._digest}|{head.manifest.digest}"
        self._head = load_session(head)
        self._takes = head.manifest.features
        self.spec = head.manifest.preprocess
        self.output = self._head.outputs[0]

    def _run(self, pixels: np.ndarray, features: Sequence[str]) -> dict[str, np.ndarray]:
        wanted = [name for name in self._takes if name != IMAGE]
        found = super()._run(pixels, wanted) if wanted else {}
        return self._head.run({name: {**found, IMAGE: pixels}[name] for name in self._takes}, features)


def require_teacher(
    request: TrainRequest,
    head: Bundle[HeadManifest],
    classes: Sequence[str] | None,
    size: tuple[int, int] | None,
) -> None:
    """Raises InvalidRequestError where the head cannot teach another one.

    classes: that both answer with; None where any will do. size: (height, width) of the pictures that both have to
    see, where answers have places.
    """
    manifest, name, task = head.manifest, request.name, request.task
    if manifest.task != task:
        raise InvalidRequestError(f"heads.{name}: {manifest.name!r} cannot teach {task}: its task is {manifest.task}")
    if classes is not None and tuple(head.labels) != tuple(classes):
        raise InvalidRequestError(f"heads.{name}: teacher {manifest.name!r} has other classes than the data")
    seen = manifest.preprocess
    if size is not None and (seen.height, seen.width) != size:
        raise InvalidRequestError(
            f"heads.{name}: teacher {manifest.name!r} sees pictures of {seen.width}x{seen.height}, the plan has "
            f"{size[1]}x{size[0]}: its answers have no places there; leave teacher out"
        )


def difference(output: str, answers: Tensor, taught: Tensor) -> Tensor:
    """Scalar. answers, taught: (N, ...), what a head of this output gives and what its teacher gave."""
    if output == _VECTORS:
        return nn.functional.mse_loss(_likeness(answers), _likeness(taught))
    if output != _CLASSES:
        return nn.functional.mse_loss(answers, taught)
    if answers.shape[2:] != taught.shape[2:]:
        answers = nn.functional.interpolate(answers, size=taught.shape[2:], mode="bilinear", align_corners=False)
    divergence = nn.functional.kl_div(answers.log_softmax(dim=1), taught.softmax(dim=1), reduction="none")
    return divergence.sum(dim=1).mean()


def _likeness(vectors: Tensor) -> Tensor:
    """Cosines of all pairs: (N, D) -> (N, N)."""
    unit = nn.functional.normalize(vectors, dim=1)
    return unit @ unit.T


def stacked(arrays: Sequence[np.ndarray]) -> Tensor:
    """float32 (N, ...)"""
    return torch.from_numpy(np.stack(arrays)).to(torch.float32)
