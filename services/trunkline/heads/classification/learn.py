"""What training needs to know of classification: answer layer, loss, metric, scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision

from trunkline.core.errors import InvalidRequestError
from trunkline.core.params import parse_params
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.classification import remembering
from trunkline.heads.classification.hierarchy import learned_parents
from trunkline.heads.classification.measure import ALL, scores_of, several_scores_of
from trunkline.heads.classification.several import NO_THRESHOLD, best_thresholds, presence_of, sigmoid
from trunkline.heads.classification.task import MANY, ClassifyOptions
from trunkline.heads.learner import Scores, TaskLearner
from trunkline.heads.pictures import Completed, Pictures

_MOST = 100.0  # weight of a class that hardly any picture has


class Learner(TaskLearner):
    """Logits by cross-entropy, with label smoothing and, where asked for, weights for rare classes.

    Where the request has several labels of a picture, it is the learner of those.
    """

    output: ClassVar[str] = "logits"
    metric: ClassVar[str] = "accuracy"
    augmentation: ClassVar[Augmentation] = "photo"
    dropout: ClassVar[float] = 0.3

    def __new__(cls, classes: Sequence[str], targets: Sequence[str], options: Any) -> Self:
        several = parse_params(ClassifyOptions, options.task_options).labels == MANY
        made: Any = object.__new__(_SeveralLabels if several else cls)
        found: Self = made
        return found

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if len(classes) < 2:
            raise InvalidRequestError("the data has no classes: a classification head needs labels")
        self._hierarchy = parse_params(ClassifyOptions, options.task_options).hierarchy
        self._parents: list[list[str]] = []
        self._classes = tuple(classes)
        self._balance: bool = options.options.balance
        smoothing = options.options.label_smoothing
        self._smoothing: float = 0.1 if smoothing is None else smoothing
        self._weights: Tensor | None = None

    def look(self, dataset: Any, rows: Callable[[str], Sequence[Mapping[str, str]]]) -> None:
        if self._hierarchy is not None:
            self._parents = learned_parents(self._hierarchy, dataset, rows)

    def settings(self) -> dict[str, Any]:
        return {"parents": self._parents} if self._parents else {}

    def prepare(self, samples: Sequence[Any]) -> None:
        counts = np.bincount(self.truth(samples), minlength=len(self._classes))
        if self._balance:
            weights = len(samples) / (len(self._classes) * np.maximum(counts, 1))
            self._weights = torch.tensor(weights, dtype=torch.float32)  # (classes,)

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        return np.array([sample.label for sample in samples], np.int64)

    def answer_layer(self, width: int) -> nn.Module:
        return nn.Linear(width, len(self._classes))

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """answers: logits (N, classes); truth: int64 (N,)."""
        return nn.functional.cross_entropy(answers, truth, self._weights, label_smoothing=self._smoothing)

    def measure(self) -> Metric:
        return MulticlassAccuracy(num_classes=len(self._classes), average="micro")

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """The temperature of least cross-entropy. answers: logits (N, classes). See `head.Head` for the source."""
        temperatures = torch.logspace(-1, 1, 201)  # 0.1 to 10
        losses = [nn.functional.cross_entropy(answers / temperature, truth) for temperature in temperatures]
        return {"temperature": round(float(temperatures[int(torch.stack(losses).argmin())]), 4)}

    def completed(self, model: bytes, settings: Mapping[str, Any], pictures: Pictures) -> Completed | None:
        return remembering.completed(model, settings, pictures, several=settings.get("labels") == MANY)

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> Scores:
        return scores_of(answers, samples, self._classes, self._parents)


class _SeveralLabels(Learner):
    """Logits of each class by itself, by binary cross-entropy; where asked for, rare classes count more."""

    metric: ClassVar[str] = "map"

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        super().__init__(classes, targets, options)
        if self._hierarchy is not None:
            raise InvalidRequestError("a hierarchy is for one label a picture: leave out labels many, or hierarchy")
        self._thresholds = np.full(len(classes), NO_THRESHOLD)

    def prepare(self, samples: Sequence[Any]) -> None:
        if self._balance:
            there = np.maximum(self.truth(samples).sum(axis=0), 1)
            self._weights = torch.tensor(len(samples) / there - 1, dtype=torch.float32).clamp(1, _MOST)  # (classes,)

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """float32 (N, classes), 0 or 1."""
        return presence_of([sample.labels for sample in samples], len(self._classes)).astype(np.float32)

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """answers: logits (N, classes); truth: float32 (N, classes)."""
        return nn.functional.binary_cross_entropy_with_logits(answers, truth, pos_weight=self._weights)

    def measure(self) -> Metric:
        return _MeanPrecision(num_labels=len(self._classes), average="macro")

    def settings(self) -> dict[str, Any]:
        return {"labels": MANY}

    def params(self) -> dict[str, Any]:
        return ALL

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """The temperature of least loss, then for each class the score from which on its F1 is largest."""
        temperatures = torch.logspace(-1, 1, 201)  # 0.1 to 10
        losses = [nn.functional.binary_cross_entropy_with_logits(answers / each, truth) for each in temperatures]
        temperature = round(float(temperatures[int(torch.stack(losses).argmin())]), 4)
        scores = sigmoid(answers.double().numpy() / temperature)  # (N, classes)
        self._thresholds = np.round(best_thresholds(scores, truth.numpy() > 0), 6)
        return {"temperature": temperature, "thresholds": self._thresholds.tolist()}

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> Scores:
        return several_scores_of(answers, samples, self._classes, self._thresholds)


class _MeanPrecision(MultilabelAveragePrecision):
    def update(self, answers: Tensor, truth: Tensor) -> None:
        super().update(answers, truth.to(torch.int64))
