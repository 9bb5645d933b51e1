"""The nets of a detector beside the two-stage one: which there are, and what each is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec

Kind = Literal["rcnn", "yolo", "svm-rcnn"]
RCNN: Kind = "rcnn"
_MODES: Mapping[Kind, tuple[str, ...]] = {
    "yolo": ("features", "transfer", "finetune"),
    "svm-rcnn": ("features", "transfer"),
}
_NMS_IOU: Mapping[Kind, float] = {"yolo": 0.6, "svm-rcnn": 0.3}  # Ultralytics' order of size; R-CNN's paper
# Shapes of windows, and the most windows, by size.
_WINDOWS = {"light": (8, 2000), "medium": (12, 4000), "large": (16, 8000)}


def checked_kind(request: Any) -> Kind:
    """The net that a TrainRequest asks for. Raises InvalidRequestError where mode or loss do not go with it."""
    kind: Kind = request.net or RCNN
    if kind == RCNN:
        return kind
    if kind not in _MODES:
        raise InvalidRequestError(
            f"net {kind!r} is for pictures as a whole; of detection: {', '.join(_MODES)}, or none"
        )
    if request.mode not in _MODES[kind]:
        raise InvalidRequestError(
            f"--net {kind} learns on the maps of the backbone: --mode {' or '.join(_MODES[kind])}"
        )
    if request.loss is not None:
        raise InvalidRequestError(f"--net {kind} has a loss of its own: leave --loss out")
    return kind


def maps_of(kind: Kind) -> tuple[str, ...]:
    """Features that the net takes, fine to coarse."""
    return ("c3", "c4", "c5")


def other_net(
    kind: Kind,
    size: Literal["light", "medium", "large"],
    channels: Mapping[str, int],
    sides: np.ndarray,
    spec: PreprocessSpec,
    counts: Sequence[int],
    weights: Tensor | None,
) -> nn.Module:
    """sides: of the objects, float64 (N, 2) in pixels of the model input. counts: objects of each class.

    weights: float32 (K + 1,) of the classes in a loss, background first. Raises ConfigurationError where a package is
    missing, InvalidRequestError where a class has no object.
    """
    if kind == "yolo":
        from trunkline.heads.detection.learn.yolo import YoloNet

        return YoloNet(channels, len(counts), size, None if weights is None else weights[1:])
    if 0 in counts:
        raise InvalidRequestError("a class has no object in the pictures to train on: svm-rcnn needs some of each")
    from trunkline.heads.detection.learn.svm_rcnn import SvmRcnn
    from trunkline.heads.detection.learn.windows import fitted_shapes, window_grid

    shapes, most = _WINDOWS[size]
    windows = window_grid(fitted_shapes(sides, shapes), spec.width, spec.height, most)
    return SvmRcnn(channels, windows, len(counts))


def other_settings(kind: Kind) -> dict[str, Any]:
    """For the manifest."""
    return {"net": kind, "nms_iou": _NMS_IOU[kind]}
