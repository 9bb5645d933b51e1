"""torchvision's detectors: three lists of what they have found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from onnx import TensorProto, helper

from trunkline.training.imported.layouts.layout import BOXES, SCORES, Constants, Resize, Scaling


@dataclass(frozen=True)
class Lists:
    """boxes (n, 4), corners in pixels, labels (n,) and scores (n,), as torchvision answers about a picture.

    outputs: their names, in this order. ids: the label by which the model means each class, in order of the classes;
    boxes of other labels are dropped.
    """

    outputs: tuple[str, ...]
    ids: tuple[int, ...]
    resize: Resize
    rows: ClassVar[int | None] = None
    title: ClassVar[str] = "torchvision"
    scaling: ClassVar[Scaling] = Scaling()  # mean and deviation are inside of its nets
    settings: ClassVar[Mapping[str, float]] = {"score_threshold": 0.3, "nms_iou": 1.0}
    told: ClassVar[str] = "those that it has chosen itself, so none is suppressed after it"
    otherwise: ClassVar[str] = """\
torchvision takes pictures of any size and makes them larger or smaller inside; here every picture comes in this one \
size, padded with gray or stretched, and what is made smaller is antialiased."""

    def nodes(self) -> tuple[list[Any], Constants]:
        nodes = [
            helper.make_node("Reshape", ["found0", "as_boxes"], [BOXES]),
            helper.make_node("Reshape", ["found1", "as_column"], ["label"]),  # (1, n, 1)
            helper.make_node("Reshape", ["found2", "as_column"], ["score"]),
            helper.make_node("Equal", ["label", "ids"], ["is_class"]),  # (1, n, K)
            helper.make_node("Cast", ["is_class"], ["share"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["share", "score"], [SCORES]),
        ]
        constants = {
            "as_boxes": np.array([1, -1, 4], np.int64),
            "as_column": np.array([1, -1, 1], np.int64),
            "ids": self._ids(),
        }
        return nodes, constants

    def decoded(self, raw: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        boxes, labels, scores = (raw[name] for name in self.outputs)
        share = labels[None, :, None] == self._ids()  # (1, n, K)
        return boxes[None], share.astype(np.float32) * scores[None, :, None]

    def _ids(self) -> np.ndarray:
        """int64 (1, 1, K)"""
        return np.array(self.ids, np.int64).reshape(1, 1, -1)
