"""Net, truth, metric and scores of keypoints."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.keypoints.learn.net import SIZES, PointNet
from trunkline.heads.keypoints.learn.places import distances, point_loss
from trunkline.heads.keypoints.learn.truth import Annotation, annotation_in, mirror_order, target
from trunkline.heads.keypoints.measure import NO_POINTS, scores_of
from trunkline.heads.keypoints.pairs import Pair, pairs_of
from trunkline.heads.keypoints.scores import KeypointScores
from trunkline.heads.keypoints.settings import PointSettings, sigmas_of
from trunkline.heads.keypoints.task import KeypointsOptions
from trunkline.heads.learner import MapLearner

_UNMIRRORED = ("none", "moved", "turns")
_MOST_POINTS = 500


class Learner(MapLearner):
    """A heatmap for each point, on the maps of the backbone."""

    output: ClassVar[str] = "points"
    metric: ClassVar[str] = "point_error"
    dropout: ClassVar[float] = 0.1
    maps = ("c2", "c3", "c4")
    spec = PreprocessSpec(resize="squash", width=256, height=256)
    batch = 16
    steps: Mapping[str, int] = {"features": 2000, "transfer": 3000, "finetune": 3000}

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if not classes or targets:
            raise InvalidRequestError(NO_POINTS)
        if len(classes) > _MOST_POINTS:
            raise InvalidRequestError(
                f"the data has {len(classes)} points, each with a heatmap of its own; the limit is {_MOST_POINTS}"
            )
        self._names, self._request = tuple(classes), options
        self._options = parse_params(KeypointsOptions, options.task_options)
        self._settings = PointSettings()
        self._flips: Sequence[Pair] | None = None
        self._mirrored = np.arange(len(classes))

    @property
    def augmentation(self) -> Augmentation:  # type: ignore[override]
        """Mirrored views need to know which points change places."""
        if self._flips is not None:
            return "posed"
        return "none" if self._request.mode == "features" else "moved"

    def prepare(self, samples: Sequence[Any]) -> None:
        """Raises InvalidRequestError for data without points, and for options that name others."""
        if any(sample.points is None for sample in samples):
            raise InvalidRequestError(NO_POINTS)
        scheme = samples[0].points.scheme
        distance = pairs_of(self._options.distance.replace(",", ":"), self._names, "distance")
        if len(distance) > 1:
            raise InvalidRequestError("option 'distance' is of two points: A,B")
        self._flips = pairs_of(self._options.flip, self._names, "flip") or scheme.flips
        asked = self._request.augmentation
        if self._flips is None and asked is not None and asked not in _UNMIRRORED:
            raise InvalidRequestError(
                f"augmentation {asked!r} mirrors images, and nothing says which points change places: "
                "--flip A:B,C:D, or --augmentation moved"
            )
        self._settings = PointSettings(
            skeleton=scheme.skeleton,
            distance=distance[0] if distance else scheme.distance,
            sigmas=sigmas_of(self._names),
        )
        self._mirrored = mirror_order(self._names, self._flips or ())

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """int64 (N,): the truth of a view is made with the view, see `annotation`."""
        return np.arange(len(samples))

    def annotation(self, sample: Any, frame: Frame) -> dict[str, Any]:
        return annotation_in(sample.points, len(self._names), frame)

    def collate(self, annotations: Sequence[Annotation]) -> Tensor:
        """float32 (N, K, 4)"""
        return torch.from_numpy(np.stack([target(each, self._mirrored) for each in annotations]))

    def answer_layer(self, width: int) -> nn.Module:
        raise InvalidRequestError("keypoints learns from maps: use features, transfer or finetune")

    def map_net(self, channels: Mapping[str, int], dropout: float) -> nn.Module:
        return PointNet(channels, len(self._names), SIZES[self._request.size], dropout)

    def pixel_net(self, channels: int) -> nn.Module:
        raise InvalidRequestError("keypoints learns on the maps of a backbone: use features, transfer or finetune")

    def loss(self, answers: Any, truth: Tensor) -> Tensor:
        return point_loss(answers, truth)

    def measure(self) -> torchmetrics.Metric:
        return _PointError()

    def settings(self) -> dict[str, Any]:
        return {**self._settings.model_dump(mode="json"), "size": self._request.size}

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> KeypointScores:
        return scores_of(answers, samples, self._names, self._settings)


class _PointError(torchmetrics.MeanMetric):
    """Mean distance of the points that are known, in sides of the model input."""

    def update(self, answers: Any, truth: Tensor) -> None:  # type: ignore[override]
        super().update(distances(answers, truth))
