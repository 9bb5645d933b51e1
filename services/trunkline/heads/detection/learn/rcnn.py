"""A two-stage detector on the maps of a backbone: pyramid, proposals, regions, outlines.

Sources: Lin et al., Feature Pyramid Networks for Object Detection, 2017; Ren et al., Faster R-CNN, 2015; He et al.,
Mask R-CNN, 2017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork, batched_nms, nms

from trunkline.heads.detection.learn.outlines import Outlines
from trunkline.heads.detection.learn.parity import largest_difference
from trunkline.heads.detection.learn.proposals import Proposals, Targets
from trunkline.heads.detection.learn.regions import Regions
from trunkline.heads.detection.learn.sizes import FINE, OUTLINED_NMS_IOU, RcnnSize
from trunkline.heads.learner import TaskNet

LEAST_OUTLINED = 0.01  # score; of 30 boxes a dozen have it, and 30 outlines cost as much as all the rest
_NMS_IOU, _MOST, _LEAST_SCORE = 0.5, 100, 0.02  # of answers to validation pictures


@dataclass(frozen=True)
class RcnnPlan:
    """What a net is made for. anchors: (width, height) for each level. input_size: (height, width).

    cells: (rows, columns) of a box whose outline is wanted; None for boxes alone.
    """

    classes: int
    size: RcnnSize
    input_size: tuple[int, int]
    anchors: Sequence[Sequence[tuple[float, float]]]
    cells: tuple[int, int] | None = None
    focal: bool = False
    dropout: float = 0.0
    smoothing: float = 0.0


class Rcnn(TaskNet):
    """Maps float32 (N, C, H, W), fine to coarse, of pictures of one size: of the pyramid, and FINE for outlines.

    forward, of one picture: boxes float32 (1, M, 4), scores float32 (1, M, K) and, with masks, masks float32
    (1, M, h, w), as `Head` of the task takes them.
    """

    weights: Tensor | None
    makes_losses = True

    def __init__(self, channels: Mapping[str, int], plan: RcnnPlan, weights: Tensor | None = None) -> None:
        """channels: of each map. weights: float32 (K + 1,) of the classes in the loss, background first."""
        super().__init__()
        self.plan, size = plan, plan.size
        self._names = tuple(channels)
        self.outputs = ("boxes", "scores") if plan.cells is None else ("boxes", "scores", "masks")
        self.register_buffer("weights", weights, persistent=False)
        # Maps of a backbone have very different ranges; in a graph the normalisation is part of the convolutions.
        widths = [channels[name] for name in size.maps]
        self.pyramid = FeaturePyramidNetwork(widths, size.width, norm_layer=nn.BatchNorm2d)
        self.proposals = Proposals(plan.anchors, size, plan.input_size, focal=plan.focal)
        self.regions = Regions(plan.classes, size, plan.input_size, plan.dropout)
        if plan.cells is not None:
            self.outlines = Outlines(channels[FINE], size, plan.input_size, plan.cells)

    def losses(self, maps: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """Scalars by name, to be added up."""
        levels = self._levels(maps)
        found = self.proposals.propose(list(levels.values()))
        boxes = [each.detach() for each in found.boxes]
        losses, sampled = self.regions.losses(levels, boxes, targets, self.weights, self.plan.smoothing)
        losses |= self.proposals.losses(found, targets)
        if self.plan.cells is not None:
            masks = [target["masks"] for target in targets]
            losses["mask"] = self.outlines.loss(levels, self._fine(maps), sampled, masks)
        return losses

    def answers(self, maps: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """For each picture: boxes (n, 4), scores (n,) and labels int64 (n,) from 1 on, overlapping ones left out."""
        levels = self._levels(maps)
        boxes, scores = self.regions.describe(levels, self.proposals.propose(list(levels.values())).boxes)
        return [_best(*each) for each in zip(boxes, scores, strict=True)]

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        levels = self._levels(maps)
        boxes, scores = self.regions.describe(levels, self.proposals.propose(list(levels.values())).boxes)
        box, score = boxes[0], scores[0]  # (M, 4), (M, K)
        if self.plan.cells is None:
            return box[None], score[None]
        best = score.amax(dim=1)
        kept = nms(box, best, OUTLINED_NMS_IOU)[: self.plan.size.outlined]
        kept = kept[best[kept] >= LEAST_OUTLINED]
        box, score = box[kept], score[kept]
        return box[None], score[None], self.outlines(levels, self._fine(maps), [box]).sigmoid()[None]

    def difference(self, want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
        return largest_difference(want, found)

    def _levels(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        named = dict(zip(self._names, maps, strict=True))
        found: dict[str, Tensor] = self.pyramid({name: named[name] for name in self.plan.size.maps})
        return found

    def _fine(self, maps: Sequence[Tensor]) -> Tensor:
        return maps[self._names.index(FINE)]


def _best(boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
    row, label = torch.where(scores > _LEAST_SCORE)
    score = scores[row, label]
    kept = batched_nms(boxes[row], score, label, _NMS_IOU)[:_MOST]
    return {"boxes": boxes[row[kept]], "scores": score[kept], "labels": label[kept] + 1}
