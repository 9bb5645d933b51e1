"""NanoDet and NanoDet-Plus. Source: Li et al., Generalized Focal Loss, 2020, and the exporter of NanoDet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from onnx import helper

from trunkline.training.imported.layouts.layout import BOXES, SCORES, Constants, Resize, Scaling, columns, places
from trunkline.training.imported.layouts.places import cells

PLUS_LEVELS = 4  # NanoDet-Plus has a level more than NanoDet


@dataclass(frozen=True)
class Nanodet:
    """(1, N, K + 4 * bins), a row for each place: probabilities of the classes, then four distributions as logits.

    They are of the distances from the place to the left, the top, the right and the bottom of the box, in cells: 0, 1
    and so on to bins - 1; the mean of each is the distance. Places are the middles of their cells, in NanoDet-Plus
    (four levels) their upper left corners.
    """

    output: str
    rows: int
    classes: int
    bins: int
    height: int
    width: int
    strides: tuple[int, ...]
    scaling: ClassVar[Scaling] = Scaling(bgr=True, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))
    settings: ClassVar[Mapping[str, float]] = {"score_threshold": 0.35, "nms_iou": 0.6}
    told: ClassVar[str] = (
        "every place of its grids with a probability for each class, its sides the means of distributions; "
        "overlapping boxes are suppressed after it"
    )
    otherwise: ClassVar[str] = """\
NanoDet resizes without antialiasing; here what is made smaller is antialiased. NanoDet-Plus stretches pictures to \
the size; NanoDet before it keeps their shape and fills with black, here with gray 127. The usual mean and \
deviation, and the order BGR, are in the graph; what else a configuration says under `normalize` nobody can see."""

    @property
    def title(self) -> str:
        return "NanoDet-Plus" if self._is_plus else "NanoDet"

    @property
    def resize(self) -> Resize:
        return "squash" if self._is_plus else "pad"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)

    def nodes(self) -> tuple[list[Any], Constants]:
        end = self.classes + 4 * self.bins
        points, stride = self._points()
        nodes = [
            columns("found0", SCORES, 0, self.classes),
            columns("found0", "logits", self.classes, end),
            helper.make_node("Reshape", ["logits", "by_side"], ["sides"]),
            helper.make_node("Softmax", ["sides"], ["shares"], axis=3),
            helper.make_node("MatMul", ["shares", "bins"], ["means"]),  # (1, N, 4, 1), in cells
            helper.make_node("Reshape", ["means", "of_sides"], ["lengths"]),
            helper.make_node("Mul", ["lengths", "stride"], ["distances"]),
            columns("distances", "before", 0, 2),
            columns("distances", "after", 2, 4),
            helper.make_node("Sub", ["points", "before"], ["low"]),
            helper.make_node("Add", ["points", "after"], ["high"]),
            helper.make_node("Concat", ["low", "high"], [BOXES], axis=2),
        ]
        constants: dict[str, np.ndarray] = {
            "by_side": np.array([1, self.rows, 4, self.bins], np.int64),
            "bins": np.arange(self.bins, dtype=np.float32)[:, None],
            "of_sides": np.array([1, self.rows, 4], np.int64),
            "stride": stride,
            "points": points,
        }
        return nodes, {**constants, **places(0, 2, 4, self.classes, end)}

    def decoded(self, raw: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        found = raw[self.output]
        logits = found[..., self.classes :].reshape(1, self.rows, 4, self.bins)
        shares = np.exp(logits - logits.max(axis=3, keepdims=True))
        shares /= shares.sum(axis=3, keepdims=True)
        points, stride = self._points()
        distances = (shares * np.arange(self.bins)).sum(axis=3) * stride  # (1, N, 4)
        boxes = np.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=2)
        return boxes, found[..., : self.classes]

    @property
    def _is_plus(self) -> bool:
        return len(self.strides) == PLUS_LEVELS

    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 (1, N, 2) and (1, N, 1), in pixels"""
        grid, stride = cells(self.height, self.width, self.strides)
        return (grid + np.float32(0 if self._is_plus else 0.5)) * stride, stride
