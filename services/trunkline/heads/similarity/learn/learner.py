"""Answer layer, loss, batches, metric and scores of similarity."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Ask, Known
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.learner import TaskLearner
from trunkline.heads.similarity.calibration import distances, fit_calibration, pairs_of
from trunkline.heads.similarity.learn.batches import class_batches
from trunkline.heads.similarity.learn.losses import Name, PrototypicalLoss, SimilarityLoss
from trunkline.heads.similarity.learn.recall import RecallAtOne
from trunkline.heads.similarity.measure import Measure, scores_of
from trunkline.heads.similarity.scores import SimilarityScores

WIDTH = 128  # of the vectors
_TURNS = 4
_RATE, _OF_CLASSES = 1e-4, 100  # on features; times that for the vectors of the classes, which begin at random


class Learner(TaskLearner):
    """Vectors by a loss on what is alike in a batch; classes that are measured may be others than were learned."""

    output: ClassVar[str] = "embedding"
    metric: ClassVar[str] = "recall_at_1"
    augmentation: ClassVar[Augmentation] = "photo"
    dropout: ClassVar[float] = 0.0
    net: ClassVar[str] = "cnn"
    scratch_spec: ClassVar[PreprocessSpec] = PreprocessSpec(resize="squash", width=32, height=32, colour="L")
    keeps_classes: ClassVar[bool] = False
    random_batches: ClassVar[bool] = False
    batch = 128

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if len(classes) < 2:
            raise InvalidRequestError(
                "the data has no classes: a similarity head needs class folders, labels or pairs"
            )
        self._turned = options.augmentation == "turns"
        if self._turned and options.mode != "scratch":
            raise InvalidRequestError("augmentation turns is for drawings: use it with --mode scratch")
        self._classes = tuple(classes)
        self._request = options
        self._loss_name = cast(
            "Name", options.loss or ("prototypical" if options.mode == "scratch" else "proxy_anchor")
        )
        self._numbers: dict[int, int] = {}
        self._loss: SimilarityLoss | None = None
        self._validation_loss = PrototypicalLoss()

    def prepare(self, samples: Sequence[Any]) -> None:
        """Number the classes that are learned; those that are only measured come after them."""
        self._numbers = {label: number for number, label in enumerate(sorted({sample.label for sample in samples}))}
        learned = len(self._numbers) * (_TURNS if self._turned else 1)
        self._loss = SimilarityLoss(self._loss_name, learned, WIDTH)

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        return np.array([self._numbers.setdefault(each.label, len(self._numbers)) for each in samples], np.int64)

    def answer_layer(self, width: int) -> nn.Module:
        assert self._loss is not None
        return EmbeddingLayer(width, self._loss)

    def begun(
        self, layer: nn.Module, vectors: Callable[[], Tensor], rate: float | None, decay: float
    ) -> list[dict[str, Any]]:
        """The layer keeps what is alike in the features alike, and learns from there with a small rate."""
        assert isinstance(layer, EmbeddingLayer)
        layer.begin_at_components(vectors())
        return [
            {"params": list(layer.linear.parameters()), "lr": rate or _RATE, "weight_decay": decay},
            {"params": list(layer.loss.parameters()), "lr": _OF_CLASSES * (rate or _RATE), "weight_decay": decay},
        ]

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """answers: float32 (N, WIDTH); truth: int64 (N,)."""
        assert self._loss is not None
        return torch.as_tensor(self._loss(answers, truth))

    def validation_loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """The prototypical one, which needs no class to be known."""
        return torch.as_tensor(self._validation_loss(answers, truth))

    def batches(self, truth: Tensor, size: int, steps: int, *, fixed: bool) -> Iterable[list[int]]:
        return class_batches(truth, size, steps, fixed=fixed)

    def further_classes(self, pixels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where turns were asked for, each quarter turn of a class is one of its own.

        pixels: uint8 (N, H, W, C), H equal to W; truth: int64 (N,). Source: Vinyals et al., Matching Networks for
        One Shot Learning, 2016, section 4.1.1.
        """
        if not self._turned:
            return pixels, truth
        if pixels.shape[1] != pixels.shape[2]:
            raise InvalidRequestError("augmentation turns needs pictures as wide as high: --width 32 --height 32")
        learned = int(truth.max()) + 1
        turned = [np.rot90(pixels, turn, axes=(1, 2)) for turn in range(_TURNS)]
        return np.concatenate(turned), np.concatenate([truth + turn * learned for turn in range(_TURNS)])

    def measure(self) -> RecallAtOne:
        return RecallAtOne()

    def settings(self) -> dict[str, Any]:
        pretrained = self._request.mode == "pretrained"
        return {"metric": "euclidean"} | ({} if pretrained else {"loss": self._loss_name})

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """Threshold and logistic curve on all pairs of validation samples; {} where nothing can be said."""
        vectors = nn.functional.normalize(answers, dim=1).numpy()
        first, second, same = pairs_of(truth.numpy())
        found = fit_calibration(distances(vectors, first, second), same)
        if found is None:
            return {}
        return {"threshold": found.threshold, "calibration": {"a": found.slope, "b": found.offset}}

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> SimilarityScores:
        return scores_of(answers, samples, self._classes)

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> SimilarityScores:
        return Measure(Known(self._classes)).scores_in(ask, samples, dataset)


class EmbeddingLayer(nn.Module):
    """float32 (N, width) -> (N, WIDTH). It carries the loss, whose own parameters are learned with it."""

    def __init__(self, width: int, loss: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(width, WIDTH)
        self.loss = loss

    @torch.no_grad()
    def begin_at_components(self, vectors: Tensor) -> None:
        """Begin as the projection of float32 (N, width), of mean 0, to its principal components, of length about 1.

        A random projection of a few hundred pictures learns those and forgets what else the features tell apart.
        Where there are fewer components than outputs, the other rows stay random and small.
        """
        # (width,) and (width, width)
        values, directions = torch.linalg.eigh(vectors.T @ vectors / len(vectors))  # ascending
        real = values[-WIDTH:] > 1e-6 * values[-1]
        components = directions[:, -WIDTH:][:, real].T.flip(0)  # (up to WIDTH, width)
        length = (vectors @ components.T).norm(dim=1).mean().clamp(min=1e-6)
        self.linear.weight.mul_(1e-3)
        self.linear.weight[: len(components)] = components / length
        self.linear.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.linear(features)
        return found
