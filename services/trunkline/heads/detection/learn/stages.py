"""One stage of a cascade: regions of pictures to classes and better boxes.

Sources: Girshick, Fast R-CNN, 2015, sections 2 and 3; Cai and Vasconcelos, Cascade R-CNN, 2018, section 4. The parts
are torchvision's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image

from trunkline.heads.detection.learn.proposals import Targets, covered
from trunkline.heads.detection.learn.sizes import RcnnSize

_CELLS, SAMPLES = 7, 2  # of a region at a side; points of a cell at a side
_POSITIVE = 0.25
_BETA = 1 / 9
_LEAST_SIDE = 1.0  # pixels; a region without area has no logarithm to learn

Levels = Mapping[str, Tensor]


@dataclass(frozen=True)
class Grade:
    """iou: with an object, from which a region is of its class. sharpness: of the box loss; share: of the loss."""

    iou: float
    sharpness: float
    share: float


GRADES = (Grade(0.5, 10.0, 1.0), Grade(0.6, 20.0, 0.5), Grade(0.7, 30.0, 0.25))


@dataclass(frozen=True)
class Sampled:
    """Regions of each picture that a stage learned from: (M, 4), the object each fits best, its label from 1 on."""

    regions: list[Tensor]
    matched: list[Tensor]
    labels: list[Tensor]


class Stage(RoIHeads):  # type: ignore[misc]
    """Pictures of one size. Boxes are learned for all classes together."""

    def __init__(
        self, classes: int, size: RcnnSize, input_size: tuple[int, int], dropout: float, grade: Grade
    ) -> None:
        predictor = FastRCNNPredictor(size.hidden, classes + 1)
        predictor.bbox_pred = nn.Linear(size.hidden, 4)
        across, along = grade.sharpness, grade.sharpness / 2
        super().__init__(
            MultiScaleRoIAlign(list(size.maps), _CELLS, SAMPLES),
            nn.Sequential(TwoMLPHead(size.width * _CELLS**2, size.hidden), nn.Dropout(dropout)),
            predictor,
            grade.iou,
            grade.iou,
            size.sampled,
            _POSITIVE,
            (across, across, along, along),
            *(0.0, 1.0, 0),  # what is left out afterwards is decided elsewhere
        )
        self._input_size, self._share = input_size, grade.share

    def predict(self, levels: Levels, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Regions of all pictures, M together -> logits (M, K + 1), background first, and deltas (M, 4)."""
        pooled = self.box_roi_pool(levels, regions, [self._input_size] * len(regions))
        logits, deltas = self.box_predictor(self.box_head(pooled))
        return logits, deltas

    def moved(self, deltas: Tensor, regions: list[Tensor]) -> Tensor:
        """Boxes (M, 4), clipped to the input."""
        boxes: Tensor = clip_boxes_to_image(self.box_coder.decode(deltas, regions).reshape(-1, 4), self._input_size)
        return boxes

    def losses(
        self, levels: Levels, regions: list[Tensor], targets: Targets, weights: Tensor | None, smoothing: float
    ) -> tuple[dict[str, Tensor], Sampled, list[Tensor]]:
        """The losses of class and box, what they are of, and for each picture the regions of the next stage."""
        regions = [each[~covered(each, target["ignored"])] for each, target in zip(regions, targets, strict=True)]
        sampled, matched, labels, wanted = self.select_training_samples(regions, list(targets))
        logits, deltas = self.predict(levels, sampled)
        label, count = torch.cat(labels), max(1, sum(map(len, labels)))
        objects = label > 0
        box = nn.functional.smooth_l1_loss(deltas[objects], torch.cat(wanted)[objects], beta=_BETA, reduction="sum")
        # Without a region to look at, as where crowds are all over, the mean is no number.
        kind = logits.sum() * 0
        if len(label):
            kind = nn.functional.cross_entropy(logits, label, weights, label_smoothing=smoothing)
        found = {"class": self._share * kind, "box": self._share * box / count}
        moved = torch.split(self.moved(deltas.detach(), sampled), [len(each) for each in sampled])
        following = [_useful(*each) for each in zip(moved, sampled, matched, targets, strict=True)]
        return found, Sampled(sampled, matched, labels), following


def _useful(moved: Tensor, sampled: Tensor, matched: Tensor, target: Mapping[str, Tensor]) -> Tensor:
    """Without those made of an object's own box: they were exact from the start, as no later region is."""
    keep = (moved[:, 2:] - moved[:, :2] >= _LEAST_SIDE).all(dim=1)  # (M,)
    if len(target["boxes"]):
        keep &= (sampled != target["boxes"][matched]).any(dim=1)
    return moved[keep]
