"""The two layouts of Ultralytics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from onnx import TensorProto, helper

from trunkline.core.errors import ModelInvalidError
from trunkline.training.imported.layouts.layout import (
    BOXES,
    SCORES,
    Constants,
    Resize,
    Scaling,
    columns,
    corners,
    places,
)

_SCORE_THRESHOLD, _NMS_IOU = 0.25, 0.7  # those of Ultralytics' predict
_OTHERWISE = """\
Ultralytics fills with gray 114 and resizes without antialiasing; here the gray is 127, and what is made smaller is \
antialiased. Scores may differ a little from those of its own `predict`.

Ultralytics publishes its code and its pretrained weights under AGPL-3.0 and sells other terms. Whether weights that \
were trained with it are bound by that is for you to find out before you serve them to others."""


@dataclass(frozen=True)
class _Export:
    """What all exports of it share: one output, of so many rows and classes."""

    output: str
    rows: int
    classes: int
    title: ClassVar[str] = "Ultralytics"
    scaling: ClassVar[Scaling] = Scaling()
    resize: ClassVar[Resize] = "pad"
    otherwise: ClassVar[str] = _OTHERWISE

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


class Grid(_Export):
    """(1, 4 + K, N): centre x and y, width, height, then a probability for each class (YOLOv8, 9, 11, 12)."""

    settings: ClassVar[Mapping[str, float]] = {"score_threshold": _SCORE_THRESHOLD, "nms_iou": _NMS_IOU}
    told: ClassVar[str] = (
        "every place of its grids with a probability for each class; overlapping boxes are suppressed after it"
    )

    def nodes(self) -> tuple[list[Any], Constants]:
        end = 4 + self.classes
        nodes = [
            helper.make_node("Transpose", ["found0"], ["rows"], perm=[0, 2, 1]),  # (1, N, 4 + K)
            columns("rows", "centre", 0, 2),
            columns("rows", "size", 2, 4),
            helper.make_node("Mul", ["size", "half"], ["reach"]),
            *corners("centre", "reach"),
            columns("rows", SCORES, 4, end),
        ]
        return nodes, {"half": np.array(0.5, np.float32), **places(0, 2, 4, end)}

    def decoded(self, raw: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        found = raw[self.output]
        centre, size = found[:, :2].transpose(0, 2, 1), found[:, 2:4].transpose(0, 2, 1)
        return np.concatenate([centre - size / 2, centre + size / 2], axis=2), found[:, 4:].transpose(0, 2, 1)


class Rows(_Export):
    """(1, N, 6): x_min y_min x_max y_max, probability, class (YOLOv10 and 26 end to end, and nms=True)."""

    # Rows come from a model that has chosen among overlapping boxes by itself.
    settings: ClassVar[Mapping[str, float]] = {"score_threshold": _SCORE_THRESHOLD, "nms_iou": 1.0}
    told: ClassVar[str] = "the boxes that it has chosen itself, so none is suppressed after it"

    def nodes(self) -> tuple[list[Any], Constants]:
        """The probability goes into the column of its class, 0 into the others."""
        nodes = [
            columns("found0", BOXES, 0, 4),
            columns("found0", "probability", 4, 5),
            columns("found0", "class", 5, 6),
            helper.make_node("Equal", ["class", "all_classes"], ["is_class"]),  # (1, N, K)
            helper.make_node("Cast", ["is_class"], ["share"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["share", "probability"], [SCORES]),
        ]
        return nodes, {"all_classes": np.arange(self.classes, dtype=np.float32), **places(0, 4, 5, 6)}

    def decoded(self, raw: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        found = raw[self.output]
        labels = found[..., 5].astype(np.int64)
        if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            raise ModelInvalidError(
                f"the model answers with class {labels.max()}, there are names for {self.classes}"
            )
        return found[..., :4], np.eye(self.classes, dtype=np.float32)[labels] * found[..., 4:5]
