"""What training needs to know of glow."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, Metric
from trunkline.heads.glow.measure import GlowScores, scores_of
from trunkline.heads.glow.task import GlowOptions

from trunkline.core.params import parse_params
from trunkline.core.results import Result
from trunkline.heads.learner import TaskLearner


class Learner(TaskLearner):
    """One number by its squared error, in spreads."""

    output: ClassVar[str] = "level"
    metric: ClassVar[str] = "off"

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        self._spread = parse_params(GlowOptions, options.task_options).spread

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """float32 (N, 1)"""
        return np.array([sample.targets for sample in samples], np.float32)

    def answer_layer(self, width: int) -> nn.Module:
        layer = nn.Linear(width, 1)
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 0.5)
        return layer

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        return nn.functional.mse_loss(answers / self._spread, truth / self._spread)

    def measure(self) -> Metric:
        return MeanAbsoluteError()

    def settings(self) -> dict[str, Any]:
        return {"spread": self._spread}

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> GlowScores:
        return scores_of(answers, samples)
