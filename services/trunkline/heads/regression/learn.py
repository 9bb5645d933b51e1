"""What training needs to know of regression: answer layer, loss, metric, scores.

A number is learned in standard deviations of the training data and answered in its unit. An angle is learned as the
point (cos, sin) on the circle, so that 359 and 1 degrees are two apart.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Known
from trunkline.core.results import Result
from trunkline.core.text import shown
from trunkline.core.train_choices import Augmentation
from trunkline.heads.learner import TaskLearner
from trunkline.heads.regression.measure import scores_of
from trunkline.heads.regression.scores import RegressionScores

_SMALLEST_SCALE = 1e-6


class Learner(TaskLearner):
    """Several targets at once; each is a number or an angle in degrees."""

    output: ClassVar[str] = "values"
    metric: ClassVar[str] = "rmse"
    augmentation: ClassVar[Augmentation] = "none"
    dropout: ClassVar[float] = 0.0  # it blurs what is measured exactly

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if not targets:
            raise InvalidRequestError(
                "the data has no numbers to learn: a regression head needs a CSV file with columns file,target…"
            )
        unknown = sorted((set(options.angle) | set(options.unit)) - set(targets))
        if unknown:
            raise InvalidRequestError(f"{shown(unknown[0])!r} is not one of the {len(targets)} targets of the data")
        self._names = tuple(targets)
        self._angles = tuple(name in options.angle for name in targets)
        self._units = tuple(options.unit.get(name, "deg" if name in options.angle else "") for name in targets)

    def prepare(self, samples: Sequence[Any]) -> None:
        truth = self.truth(samples)  # (N, targets)
        self._low, self._high = truth.min(axis=0), truth.max(axis=0)
        self._mean, self._scale = truth.mean(axis=0), np.maximum(truth.std(axis=0), _SMALLEST_SCALE)
        radians = np.deg2rad(truth)
        self._direction = np.cos(radians).mean(axis=0), np.sin(radians).mean(axis=0)  # (targets,) each

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """float32 (N, targets), in units."""
        return np.array([sample.targets for sample in samples], np.float32).reshape(len(samples), len(self._names))

    def answer_layer(self, width: int) -> nn.Module:
        """To float32 (N, columns): one for a number, in its unit, and two, cos and sin, for an angle."""
        offsets, scales = [], []
        columns = zip(self._angles, self._mean, self._scale, *self._direction, strict=True)
        for angle, mean, scale, cos, sin in columns:
            # Not left to the bias, which weight decay draws to 0: the direction would then be that of the noise.
            offsets += [float(cos), float(sin)] if angle else [float(mean)]
            scales += [1.0, 1.0] if angle else [float(scale)]
        linear = nn.Linear(width, len(scales))
        for parameter in linear.parameters():
            nn.init.zeros_(parameter)  # the first answer is the mean
        return nn.Sequential(linear, _InUnits(offsets, scales))

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """Mean over the targets of: Huber loss in standard deviations; squared distance on the circle."""
        parts, column = [], 0
        for index, angle in enumerate(self._angles):
            if angle:
                radians = torch.deg2rad(truth[:, index])
                wanted = torch.stack([radians.cos(), radians.sin()], dim=1)  # (N, 2)
                # In squared radians, near zero, over the spread of the target: comparable with the numbers.
                spread = float(np.deg2rad(self._scale[index])) ** 2
                parts.append(((answers[:, column : column + 2] - wanted) ** 2).sum(dim=1).mean() / spread)
            else:
                off = (answers[:, column] - truth[:, index]) / float(self._scale[index])
                parts.append(nn.functional.huber_loss(off, torch.zeros_like(off)))
            column += 2 if angle else 1
        return torch.stack(parts).mean()

    def measure(self) -> torchmetrics.Metric:
        return _RootMeanSquare(self._angles)

    def settings(self) -> dict[str, Any]:
        rows = zip(self._names, self._units, self._angles, self._low, self._high, strict=True)
        return {
            "targets": [
                {
                    "name": name,
                    "unit": unit,
                    "kind": "angle" if angle else "number",
                    "low": float(low),
                    "high": float(high),
                }
                for name, unit, angle, low, high in rows
            ]
        }

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> RegressionScores:
        known = Known(targets=self._names, units=self._units, angles=self._angles)
        return scores_of(answers, samples, known)


class _InUnits(nn.Module):
    """float32 (N, columns) in standard deviations -> in units."""

    offset: Tensor
    scale: Tensor

    def __init__(self, offset: list[float], scale: list[float]) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.scale + self.offset


class _RootMeanSquare(torchmetrics.Metric):
    """Root of the mean squared error over all targets, in units; angles by the shorter way round."""

    squares: Tensor
    count: Tensor

    def __init__(self, angles: Sequence[bool]) -> None:
        super().__init__()
        self._angles = tuple(angles)
        self.add_state("squares", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, answers: Tensor, truth: Tensor) -> None:
        column = 0
        for index, angle in enumerate(self._angles):
            if angle:
                value = torch.rad2deg(torch.atan2(answers[:, column + 1], answers[:, column]))
                off = torch.remainder(value - truth[:, index] + 180, 360) - 180
            else:
                off = answers[:, column] - truth[:, index]
            self.squares += (off**2).sum()
            self.count += len(off)
            column += 2 if angle else 1

    def compute(self) -> Tensor:
        return torch.sqrt(self.squares / self.count)
