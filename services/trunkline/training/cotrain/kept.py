"""A classifier of the backbone that answers on the trunk, under the common preprocessing, as it did before.

The backbone with its classifier is the teacher, each picture seen as it was made for. No label is needed.
Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015; Romero et al., FitNets, 2015, for features.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.serving.session import load_session
from trunkline.training.cotrain.course import Batch, Features
from trunkline.training.cotrain.early import SAME
from trunkline.training.cotrain.stored_maps import StoredMaps
from trunkline.training.cotrain.trunk import Trunk
from trunkline.training.data.dataset import Sample
from trunkline.training.export.network import POOLED
from trunkline.training.features import FeatureStore, Recipe
from trunkline.training.nets.tail import Tail

_VIEWS = 2  # as it is, and mirrored
_WATCHED = 256  # pictures for the curve
_AT_ONCE = 256
_RATE, _DECAY = 1e-4, 0.0


@dataclass(frozen=True)
class Teacher:
    """A classifier on `pooled` of its backbone. store: of features of that backbone."""

    head: Bundle[HeadManifest]
    store: FeatureStore
    watcher: Watcher

    @property
    def feature(self) -> str:
        return self.head.manifest.features[0]

    def check(self, trunk: Trunk) -> None:
        """Raises InvalidRequestError where it cannot be kept on this trunk."""
        manifest = self.head.manifest
        if manifest.task != "classification" or manifest.features != (POOLED,) or POOLED not in trunk.after:
            raise InvalidRequestError(
                f"keep.{manifest.name}: only a classifier on {POOLED} alone can be kept, such as imagenet; learn it "
                "anew under heads"
            )

    def answers(self, samples: Sequence[Sample], views: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Its feature float32 (views, N, C), and logits float32 (views, N, K)."""
        recipe = Recipe((self.feature,), self.head.manifest.preprocess, "mirror")
        stored = self.store.stored(
            samples, recipe, views, lambda done, total: self.watcher.stage("teacher", done, total)
        )
        vectors = np.stack([np.stack([item.vector() for item in view]) for view in stored])
        return vectors, np.stack([logits_of(self.head, view) for view in vectors])


def logits_of(head: Bundle[HeadManifest], vectors: np.ndarray) -> np.ndarray:
    """float32 (N, C) -> (N, K), through ONNX Runtime."""
    session, feature = load_session(head), head.manifest.features[0]
    parts = [vectors[start : start + _AT_ONCE] for start in range(0, len(vectors), _AT_ONCE)]
    return np.concatenate([next(iter(session.run({feature: part}).values())) for part in parts])


class KeptCourse:
    """Cross-entropy to the teacher's probabilities, less their own entropy, plus the distance of the feature."""

    chance = 0.0

    def __init__(
        self,
        teacher: Teacher,
        trunk: Trunk,
        spec: PreprocessSpec,
        samples: Sequence[Sample],
        measured: Sequence[Sample],
        weight: float,
        share: int,
    ) -> None:
        teacher.check(trunk)
        self.name, self.weight, self.share = teacher.head.manifest.name, weight, share
        self.wanted: tuple[str, ...] = (teacher.feature,)
        self._vectors, self._logits = (torch.from_numpy(each) for each in teacher.answers(samples, _VIEWS))
        self._spread = float(self._vectors.flatten(0, 1).var(dim=0).mean().clamp(min=1e-12))
        watched = list(measured[:_WATCHED])
        self._held_logits = torch.from_numpy(teacher.answers(watched)[1][0]) if watched else torch.zeros(0, 1)
        recipe = Recipe((trunk.start,), spec, "mirror", maps=(trunk.start,))

        def progress(done: int, total: int) -> None:
            teacher.watcher.stage("features", done, total)

        self._maps = StoredMaps(teacher.store.stored(samples, recipe, _VIEWS, progress), (trunk.start,))
        held = teacher.store.stored(watched, recipe, 1, progress) if watched else None
        self._held = StoredMaps(held, (trunk.start,)) if held else None
        self.net: nn.Module = Classifier(teacher.head)

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def metric(self) -> str:
        return SAME

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.net.parameters()), "lr": _RATE, "weight_decay": _DECAY}]

    def chosen(self, count: int) -> Sequence[int] | None:
        return None

    def batch(self, indices: list[int]) -> Batch:
        views = self._maps.any_view(len(indices))
        at = (torch.tensor(views), torch.tensor(indices))
        return Batch(self._maps.maps(indices, views), (self._vectors[at], self._logits[at]))

    def loss(self, features: Features, truth: tuple[Tensor, Tensor]) -> Tensor:
        vectors, logits = truth
        found = features[self.wanted[0]]
        answers = nn.functional.log_softmax(self.net(found), dim=1)
        divergence = nn.functional.kl_div(answers, logits.softmax(dim=1), reduction="batchmean")
        return divergence + nn.functional.mse_loss(found, vectors) / self._spread

    def held_back(self) -> int:
        return len(self._held_logits) if self._held is not None else 0

    def held_back_batch(self, indices: list[int]) -> Batch:
        assert self._held is not None
        return Batch(self._held.maps(indices, [0] * len(indices)), self._held_logits[torch.tensor(indices)])

    def measure(self) -> Any:
        return MulticlassAccuracy(num_classes=self._held_logits.shape[1], average="micro")

    def judged(self, features: Features, truth: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(features[self.wanted[0]]), truth.argmax(dim=1)


class Classifier(nn.Module):
    """The net of a classifier, to go on learning: float32 (N, C) -> logits (N, K)."""

    def __init__(self, head: Bundle[HeadManifest]) -> None:
        super().__init__()
        self.inner = Tail(head.read_model(), head.manifest.features[0], ("logits",))

    def forward(self, *features: Tensor) -> Tensor:
        found: Tensor = self.inner(features[0])[0]
        return found


def different(samples: Sequence[Sample], others: Sequence[Sample]) -> list[Sample]:
    """Each picture once, by its bytes, and none that is among the others."""
    seen = {hashlib.sha256(sample.encoded()).digest() for sample in others}
    found = []
    for sample in samples:
        digest = hashlib.sha256(sample.encoded()).digest()
        if digest not in seen:
            seen.add(digest)
            found.append(sample)
    return found
