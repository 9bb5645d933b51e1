"""Nets, loss, limits and scores of anomaly."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError
from torchvision.tv_tensors import Mask

from trunkline.core.errors import InvalidRequestError
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.anomaly.head import OUTPUT, picture_distance
from trunkline.heads.anomaly.learn.autoencoder import AutoencoderNet
from trunkline.heads.anomaly.learn.gaussian import GaussianNet
from trunkline.heads.anomaly.learn.limits import limit_of
from trunkline.heads.anomaly.learn.patches import PatchNet
from trunkline.heads.anomaly.measure import scores_of
from trunkline.heads.anomaly.scores import AnomalyScores
from trunkline.heads.anomaly.task import AnomalyOptions
from trunkline.heads.learner import MapLearner

GAUSSIAN, PATCHES, AUTOENCODER = "gaussian", "patches", "autoencoder"
_MAPS = {GAUSSIAN: ("c3", "c4", "c5"), PATCHES: ("c3", "c4"), AUTOENCODER: ("c3", "c4")}
_SCORES = {GAUSSIAN: "mean", PATCHES: "farthest", AUTOENCODER: "farthest"}
_STEPS = 1000  # of the net that is fitted in steps
_KEPT = 1000  # distances of good pictures
_LIKE_GOOD = (None, "none", "mirror", "flips")


class Learner(MapLearner):
    """Distances from good pictures, which are all that is learned from. No net takes what is known of flaws."""

    output: ClassVar[str] = OUTPUT
    metric: ClassVar[str] = "distance"
    augmentation: ClassVar[Augmentation] = "none"
    dropout: ClassVar[float] = 0.0
    keeps_classes: ClassVar[bool] = False
    spec = PreprocessSpec(resize="squash", width=320, height=320)

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        self._net = options.net or GAUSSIAN
        if self._net not in _MAPS:
            raise InvalidRequestError(f"anomalies are found by the nets {', '.join(_MAPS)}, not by {self._net}")
        if options.mode != "features":
            raise InvalidRequestError("anomalies are learned from features as they are: use --mode features")
        if options.augmentation not in _LIKE_GOOD:
            raise InvalidRequestError(
                f"augmentation {options.augmentation} makes pictures unlike good ones: use none, mirror or flips"
            )
        if options.spec is not None and options.spec.resize == "crop":
            raise InvalidRequestError("resize crop leaves pixels unseen: use --resize squash or pad")
        if options.validation_split in (*options.train_splits, options.test_split):
            raise InvalidRequestError(
                f"split {options.validation_split!r} must be held back: limits are made from its good pictures"
            )
        self.steps = {"features": _STEPS}
        self._classes = tuple(classes)
        self._false_alarms = parse_params(AnomalyOptions, options.task_options).false_alarms

    @property
    def maps(self) -> tuple[str, ...]:
        return _MAPS[self._net]

    def prepare(self, samples: Sequence[Any]) -> None:
        flawed = next((sample.name for sample in samples if sample.label), None)
        if flawed is not None:
            raise InvalidRequestError(f"{flawed} is not good: anomalies are learned from good pictures alone")

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """int64 (N,): 0, as all are good."""
        return np.zeros(len(samples), np.int64)

    def annotation(self, sample: Any, frame: Frame) -> Mask:
        """uint8 (1, 1, 1): nothing is flawed."""
        return Mask(torch.zeros((1, 1, 1), dtype=torch.uint8))

    def collate(self, annotations: Sequence[Any]) -> Tensor:
        """int64 (N,)"""
        return torch.zeros(len(annotations), dtype=torch.int64)

    def answer_layer(self, width: int) -> nn.Module:
        raise InvalidRequestError("anomalies are learned from maps: use --mode features")

    def map_net(self, channels: Mapping[str, int], dropout: float) -> nn.Module:
        grid = min(1, len(channels) - 1)
        if self._net == GAUSSIAN:
            return GaussianNet(channels, grid)
        return PatchNet(channels, grid) if self._net == PATCHES else AutoencoderNet(channels, grid, dropout)

    def pixel_net(self, channels: int) -> nn.Module:
        raise InvalidRequestError("anomalies are learned from features: use --mode features")

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """answers: distances (N, 1, h, w), of the net that is fitted in steps."""
        return answers.square().mean()

    def measure(self) -> MeanAbsoluteError:
        return _MeanError()

    def settings(self) -> dict[str, Any]:
        return {"net": self._net, "score": _SCORES[self._net], "false_alarms": self._false_alarms}

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """Limits of a picture and of a place. answers: distances (N, C, h, w) of held-back pictures."""
        distances = answers.numpy()
        pictures = picture_distance(distances[:, :1], _SCORES[self._net])  # (N,)
        places = distances[:, -1].reshape(len(distances), -1).max(axis=1)  # (N,), of each picture the farthest
        kept = np.quantile(pictures, np.linspace(0, 1, min(_KEPT, len(pictures))))
        return {
            "limit": limit_of(pictures, self._false_alarms),
            "place_limit": limit_of(places, self._false_alarms),
            "good": [float(f"{value:.6g}") for value in kept],
        }

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> AnomalyScores:
        return scores_of(answers, samples, self._classes)


class _MeanError(MeanAbsoluteError):
    """The mean distance: a good picture should have none."""

    def update(self, answers: Tensor, truth: Tensor) -> None:
        super().update(answers, torch.zeros_like(answers))
