"""What training needs to know of classification: answer layer, loss, metric, scores."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.classification.measure import scores_of
from trunkline.heads.classification.scores import ClassificationScores
from trunkline.heads.learner import TaskLearner


class Learner(TaskLearner):
    """Logits by cross-entropy, with label smoothing and, where asked for, weights for rare classes."""

    output: ClassVar[str] = "logits"
    metric: ClassVar[str] = "accuracy"
    augmentation: ClassVar[Augmentation] = "photo"
    dropout: ClassVar[float] = 0.3

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if len(classes) < 2:
            raise InvalidRequestError("the data has no classes: a classification head needs labels")
        self._classes = tuple(classes)
        self._balance: bool = options.options.balance
        smoothing = options.options.label_smoothing
        self._smoothing: float = 0.1 if smoothing is None else smoothing
        self._weights: Tensor | None = None

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

    def measure(self) -> MulticlassAccuracy:
        return MulticlassAccuracy(num_classes=len(self._classes), average="micro")

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """The temperature of least cross-entropy. answers: logits (N, classes). See `head.Head` for the source."""
        temperatures = torch.logspace(-1, 1, 201)  # 0.1 to 10
        losses = [nn.functional.cross_entropy(answers / temperature, truth) for temperature in temperatures]
        return {"temperature": round(float(temperatures[int(torch.stack(losses).argmin())]), 4)}

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> ClassificationScores:
        return scores_of(answers, samples, self._classes)
