"""The nets of a detector beside the two-stage one: which there are, and what each is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.heads.detection.learn.outlines import cells_for
from trunkline.heads.detection.learn.sizes import DENSE_SIZES, FINE, OUTLINED_NMS_IOU

Kind = Literal["two-stage", "one-stage", "yolo", "svm-rcnn"]
TWO_STAGE: Kind = "two-stage"
ONE_STAGE: Kind = "one-stage"
OUTLINED: tuple[Kind, ...] = (TWO_STAGE, ONE_STAGE)  # those that can give outlines
_MAPS = ("features", "transfer", "finetune")
_MODES: Mapping[Kind, tuple[str, ...]] = {
    "one-stage": _MAPS,
    "two-stage": _MAPS,
    "yolo": _MAPS,
    "svm-rcnn": ("features", "transfer"),
}
# One stage: as it is measured; Ultralytics' order of size; R-CNN's paper.
_NMS_IOU: Mapping[Kind, float] = {"one-stage": 0.6, "yolo": 0.6, "svm-rcnn": 0.3}
# Shapes of windows, and the most windows, by size.
_WINDOWS = {"light": (8, 2000), "medium": (12, 4000), "large": (16, 8000)}


@dataclass(frozen=True)
class Pace:
    """Pictures in a step, learning rate, steps by mode."""

    batch: int
    rate: float
    steps: Mapping[str, int]


_PACE = Pace(4, 5e-4, {"features": 3000, "transfer": 4000, "finetune": 4000})
_LIGHT_PACE = Pace(4, 1.5e-3, {"features": 2000, "transfer": 2500, "finetune": 3000})


def pace_of(kind: Kind) -> Pace:
    return _LIGHT_PACE if kind == ONE_STAGE else _PACE


def checked_kind(request: Any) -> Kind:
    """The net that a TrainRequest asks for. Raises InvalidRequestError where mode or loss do not go with it."""
    kind: Kind = request.net or ONE_STAGE
    if kind not in _MODES:
        raise InvalidRequestError(
            f"net {kind!r} is for pictures as a whole; of detection: {', '.join(_MODES)}, or none"
        )
    if request.net is not None and request.mode not in _MODES[kind]:
        raise InvalidRequestError(
            f"--net {kind} learns on the maps of the backbone: --mode {' or '.join(_MODES[kind])}"
        )
    if request.loss is not None and kind != TWO_STAGE:
        raise InvalidRequestError(f"--net {kind} has a loss of its own: leave --loss out, or take --net two-stage")
    return kind


def maps_of(kind: Kind) -> tuple[str, ...]:
    """Features that the net takes, fine to coarse."""
    coarse = ("c3", "c4", "c5")
    return (FINE, *coarse) if kind == ONE_STAGE else coarse


@dataclass(frozen=True)
class Wanted:
    """What a net is made for.

    counts: objects of each class. sides: of the objects, float64 (N, 2) in pixels of the model input.
    weights: float32 (K + 1,) of the classes in a loss, background first. masks: whether outlines are learned.
    """

    size: Literal["light", "medium", "large"]
    spec: PreprocessSpec
    counts: Sequence[int]
    sides: np.ndarray
    weights: Tensor | None
    masks: bool


def other_net(kind: Kind, channels: Mapping[str, int], wanted: Wanted) -> nn.Module:
    """Raises ConfigurationError where a package is missing, InvalidRequestError where a class has no object."""
    size, classes = (wanted.spec.height, wanted.spec.width), len(wanted.counts)
    plain = None if wanted.weights is None else wanted.weights[1:]
    if kind == ONE_STAGE:
        from trunkline.heads.detection.learn.one_stage import OneStage

        rows, columns = cells_for(wanted.sides)
        cells = (2 * rows, 2 * columns) if wanted.masks else None
        return OneStage(channels, classes, DENSE_SIZES[wanted.size], size, cells, plain)
    if kind == "yolo":
        from trunkline.heads.detection.learn.yolo import YoloNet

        return YoloNet(channels, classes, wanted.size, plain)
    if 0 in wanted.counts:
        raise InvalidRequestError(
            "a class has no object in the training images: svm-rcnn needs objects of every class"
        )
    from trunkline.heads.detection.learn.svm_rcnn import SvmRcnn
    from trunkline.heads.detection.learn.windows import fitted_shapes, window_grid

    shapes, most = _WINDOWS[wanted.size]
    windows = window_grid(fitted_shapes(wanted.sides, shapes), size[1], size[0], most)
    return SvmRcnn(channels, windows, classes)


def other_settings(kind: Kind, *, masks: bool) -> dict[str, Any]:
    """For the manifest."""
    dropped = {"largest_nms_iou": OUTLINED_NMS_IOU} if masks else {}
    return {"net": kind, "nms_iou": _NMS_IOU[kind]} | dropped
