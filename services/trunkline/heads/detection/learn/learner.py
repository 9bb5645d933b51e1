"""Net, truth, metric and scores of detection."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.detection.learn.anchors import fit_anchors, spread_over_levels
from trunkline.heads.detection.learn.metric import AveragePrecision
from trunkline.heads.detection.learn.other_nets import (
    OUTLINED,
    TWO_STAGE,
    Wanted,
    checked_kind,
    maps_of,
    other_net,
    other_settings,
    pace_of,
)
from trunkline.heads.detection.learn.outlines import cells_for
from trunkline.heads.detection.learn.proposals import ANCHORS
from trunkline.heads.detection.learn.rcnn import Rcnn, RcnnPlan
from trunkline.heads.detection.learn.regions import class_weights
from trunkline.heads.detection.learn.sizes import FINE, OUTLINED_NMS_IOU, SIZES
from trunkline.heads.detection.learn.spec import spec_for
from trunkline.heads.detection.learn.truth import Annotation, annotation_in, sides_in, target
from trunkline.heads.detection.matches import SHOWN
from trunkline.heads.detection.measure import NO_BOXES, measured_params, scores_of
from trunkline.heads.detection.scores import DetectionScores
from trunkline.heads.learner import MapLearner


class Learner(MapLearner):
    """A detector on the maps of the backbone, of one stage or two, with outlines where the data has them."""

    output: ClassVar[str] = "boxes"
    metric: ClassVar[str] = "ap"
    augmentation: ClassVar[Augmentation] = "boxes"
    dropout: ClassVar[float] = 0.1
    spec = PreprocessSpec(resize="pad", width=512, height=512)

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if not classes or targets:
            raise InvalidRequestError(NO_BOXES)
        if options.augmentation == "scene":
            raise InvalidRequestError(
                "augmentation 'scene' shows parts of pictures; for detection: boxes, flips, mirror, overhead, pasted"
            )
        if options.unlabelled and options.net == TWO_STAGE:
            raise InvalidRequestError("--net two-stage learns outlines of every object: leave --unlabelled out")
        self._classes, self._request = tuple(classes), options
        self._kind, self._size = checked_kind(options), SIZES[options.size]
        pace = pace_of(self._kind)
        self.batch, self.rate, self.steps = pace.batch, pace.rate, pace.steps
        self._sides = np.zeros((0, 2))
        self._anchors: list[list[tuple[float, float]]] = []
        self._counts: Counter[int] = Counter()
        self._masks = False

    @property
    def maps(self) -> tuple[str, ...]:
        if self._kind != TWO_STAGE:
            return maps_of(self._kind)
        return (FINE, *self._size.maps) if self._masks and FINE not in self._size.maps else self._size.maps

    def prepare(self, samples: Sequence[Any]) -> None:
        """Preprocessing, anchors and whether there are outlines. Raises InvalidRequestError without any object."""
        if any(sample.objects is None for sample in samples):
            raise InvalidRequestError(NO_BOXES)
        objects = [each for sample in samples for each in sample.objects if not each.crowd]
        if not objects:
            raise InvalidRequestError("the training images have no object")
        self._masks = self._kind in OUTLINED and all(each.mask is not None for each in objects)
        if self._request.features not in (None, self.maps):
            raise InvalidRequestError(
                f"size {self._request.size!r} of a detector takes {', '.join(self.maps)}: leave --feature out"
            )
        sizes = [_size_of(sample) for sample in samples]
        self.spec = self._request.spec or spec_for(sizes)
        self._counts = Counter(each.label for each in objects)
        sides = [
            sides_in(sample.objects, frame_of(*size, self.spec)) for sample, size in zip(samples, sizes, strict=True)
        ]
        self._sides = np.concatenate(sides)
        if self._kind == TWO_STAGE:
            levels = len(self._size.maps)
            self._anchors = spread_over_levels(fit_anchors(self._sides, ANCHORS * levels), levels)

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """int64 (N,): the truth of a view is made with the view, see `annotation`."""
        return np.arange(len(samples))

    def annotation(self, sample: Any, frame: Frame) -> dict[str, Any]:
        return annotation_in(sample.objects, frame, masks=self._masks)

    def collate(self, annotations: Sequence[Annotation]) -> list[dict[str, Tensor]]:
        return [target(annotation) for annotation in annotations]

    def answer_layer(self, width: int) -> nn.Module:
        raise InvalidRequestError("detection learns from maps: use features, transfer or finetune")

    def map_net(self, channels: Mapping[str, int], dropout: float) -> nn.Module:
        options = self._request.options
        counts = [self._counts[label] for label in range(len(self._classes))]
        weights = class_weights(counts) if options.balance else None
        if self._kind != TWO_STAGE:
            wanted = Wanted(self._request.size, self.spec, counts, self._sides, weights, self._masks)
            return other_net(self._kind, channels, wanted)
        plan = RcnnPlan(
            classes=len(self._classes),
            size=self._size,
            input_size=(self.spec.height, self.spec.width),
            anchors=self._anchors,
            cells=cells_for(self._sides) if self._masks else None,
            focal=self._request.loss == "focal",
            dropout=dropout,
            smoothing=options.label_smoothing or 0.0,
        )
        return Rcnn(channels, plan, weights)

    def pixel_net(self, channels: int) -> nn.Module:
        raise InvalidRequestError("a detector learns on the maps of a backbone: use transfer or finetune")

    def loss(self, answers: Any, truth: Any) -> Tensor:
        raise NotImplementedError("the net of a detector has losses of its own")

    def measure(self) -> AveragePrecision:
        return AveragePrecision()

    def settings(self) -> dict[str, Any]:
        if self._kind != TWO_STAGE:
            found = other_settings(self._kind, masks=self._masks)
            return found | {"size": self._request.size, "score_threshold": SHOWN}
        anchors = [[[round(side, 2) for side in shape] for shape in level] for level in self._anchors]
        found = {"net": TWO_STAGE, "size": self._request.size, "anchors": anchors, "score_threshold": SHOWN}
        return found | ({"largest_nms_iou": OUTLINED_NMS_IOU} if self._masks else {})

    def params(self) -> dict[str, Any]:
        """What the head is asked for when it is measured."""
        return measured_params()

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> DetectionScores:
        return scores_of(answers, samples, self._classes)


def _size_of(sample: Any) -> tuple[int, int]:
    """(width, height), upright."""
    if sample.size is not None:
        return int(sample.size[0]), int(sample.size[1])
    picture = EncodedImage(sample.encoded())
    return picture.width, picture.height
