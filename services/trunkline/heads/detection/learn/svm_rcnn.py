"""R-CNN as it was first: windows, features of each, a linear SVM and a box regressor for each class.

Source: Girshick, Donahue, Darrell, Malik, Rich feature hierarchies for accurate object detection and semantic
segmentation, 2014. Two things differ. The picture goes through the CNN once and regions are cut from its maps
(RoIAlign: He et al., Mask R-CNN, 2017, section 3), where the paper warps and computes each region. And regions are
the windows of `windows.py`, where the paper has selective search. All weights are solved for by scikit-learn; the
graph is RoIAlign and a matrix product.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.ops import roi_align

from trunkline.heads.detection.learn.svm_boxes import chosen, moved
from trunkline.heads.detection.learn.svm_mining import Solution, solve
from trunkline.heads.learner import TaskNet

STRIDES = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}
_CELLS = {"c2": 4, "c3": 4, "c4": 3, "c5": 2}  # of a region at a side
_SAMPLES = 2  # points of a cell at a side
_OFF = 0.002  # share of values that may differ between runtimes: where two classes are as good

Progress = Callable[[str, int, int], None]


class SvmRcnn(TaskNet):
    """Maps float32 (1, C, H, W), fine to coarse -> boxes float32 (1, W, 4) and scores float32 (1, W, K).

    windows: float32 (W, 4), in pixels of the model input.
    """

    is_solved = True
    outputs = ("boxes", "scores")
    windows: Tensor
    weight: Tensor
    bias: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, channels: Mapping[str, int], windows: np.ndarray, classes: int) -> None:
        super().__init__()
        self._levels = [(STRIDES[name], _CELLS[name]) for name in channels]
        self.classes = classes
        self.width = sum(count * _CELLS[name] ** 2 for name, count in channels.items())
        rows = 5 * classes  # a decision and four deltas for each class
        for name, value in (
            ("windows", torch.from_numpy(windows)),
            ("weight", torch.zeros(rows, self.width)),
            ("bias", torch.zeros(rows)),
            ("slope", torch.ones(classes)),
            ("offset", torch.zeros(classes)),
        ):
            self.register_buffer(name, value)

    def solve(self, train: Dataset[Any], validation: Dataset[Any] | None, progress: Progress) -> dict[str, Any]:
        """Find all weights. The data gives ([maps], truth) for a list of indices. Returns what was seen on the way.

        Without validation data every fifth picture is kept for the calibration. Raises InvalidRequestError where
        there is too little to learn from.
        """
        found = solve(self, train, validation, progress)
        self._take(found)
        return found.facts

    def vectors(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """What the maps (1, C, H, W) have in boxes (n, 4): float32 (n, width)."""
        regions = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)  # (n, 5), of the first picture
        parts = [
            roi_align(level, regions, cells, 1 / stride, _SAMPLES, aligned=True).flatten(1)
            for level, (stride, cells) in zip(maps, self._levels, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 5 K) -> decisions (n, K), deltas (n, K, 4)"""
        return rows[:, : self.classes], rows[:, self.classes :].reshape(-1, self.classes, 4)

    def forward(self, *maps: Tensor) -> tuple[Tensor, Tensor]:
        rows = nn.functional.linear(self.vectors(maps, self.windows), self.weight, self.bias)  # (W, 5 K)
        decisions, deltas = self.split(rows)
        boxes = moved(self.windows, chosen(decisions, deltas))
        scores = torch.sigmoid(self.slope * decisions + self.offset)  # (W, K)
        return boxes[None], scores[None]

    def difference(self, want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
        """Row by row: their order is that of the windows."""
        return max(_off(want[name], found[name]) for name in self.outputs)

    def _take(self, found: Solution) -> None:
        for name in ("weight", "bias", "slope", "offset"):
            value = torch.from_numpy(np.asarray(getattr(found, name), np.float32))
            getattr(self, name).copy_(value)


def _off(want: np.ndarray, found: np.ndarray) -> float:
    """Relative to the largest value."""
    if want.shape != found.shape:
        return float("inf")
    differences = np.abs(want.astype(np.float64) - found)
    off = float(np.quantile(differences, 1 - _OFF, method="lower")) if differences.size else 0.0
    return off / max(1.0, float(np.abs(want).max(initial=0)))
