"""What is in a region: class, exact box and outline, from the levels of a pyramid.

Sources: Girshick, Fast R-CNN, 2015; He et al., Mask R-CNN, 2017; the parts are torchvision's. Boxes and outlines are
learned for all classes together, so that a region has one of each whatever its class is: Mask R-CNN, section 4.2,
finds such masks nearly as good.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image

from trunkline.heads.detection.learn.proposals import Targets, covered
from trunkline.heads.detection.learn.sizes import RcnnSize

_CELLS, _MASK_CELLS, _SAMPLES = 7, 14, 2  # of a region at a side; points of a cell at a side
_OBJECT = 0.5  # IoU from which a region is of the object's class
_POSITIVE = 0.25
_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_BETA = 1 / 9

Levels = Mapping[str, Tensor]


class Regions(RoIHeads):  # type: ignore[misc]
    """Regions of pictures of one size to classes, boxes and, with `masks`, outlines."""

    def __init__(
        self, classes: int, size: RcnnSize, input_size: tuple[int, int], dropout: float, *, masks: bool
    ) -> None:
        width = size.width
        predictor = FastRCNNPredictor(size.hidden, classes + 1)
        predictor.bbox_pred = nn.Linear(size.hidden, 4)
        super().__init__(
            MultiScaleRoIAlign(list(size.maps), _CELLS, _SAMPLES),
            nn.Sequential(TwoMLPHead(width * _CELLS**2, size.hidden), nn.Dropout(dropout)),
            predictor,
            _OBJECT,
            _OBJECT,
            size.sampled,
            _POSITIVE,
            _BOX_WEIGHTS,
            *(0.0, 1.0, 0),  # what is left out afterwards is decided elsewhere
        )
        if masks:
            self.mask_roi_pool = MultiScaleRoIAlign(list(size.maps), _MASK_CELLS, _SAMPLES)
            self.mask_head = MaskRCNNHeads(width, (width,) * size.mask_layers, 1)
            self.mask_predictor = MaskRCNNPredictor(width, width, 1)
        self._input_size = input_size

    def describe(self, levels: Levels, regions: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For each picture, (M, 4) regions -> boxes (M, 4), clipped to the input, and probabilities (M, K)."""
        counts = [each.shape[0] for each in regions]
        logits, deltas = self._predict(levels, regions)
        boxes = self.box_coder.decode(deltas, regions)[:, 0]
        scores = logits.softmax(dim=1)[:, 1:]
        if len(counts) == 1:  # a split would fix the number of regions in an exported graph
            return [clip_boxes_to_image(boxes, self._input_size)], [scores]
        clipped = clip_boxes_to_image(boxes, self._input_size)
        return list(torch.split(clipped, counts)), list(torch.split(scores, counts))

    def outline(self, levels: Levels, boxes: list[Tensor]) -> Tensor:
        """Boxes of all pictures -> probabilities (M, h, w) that a pixel of the box is one of the object."""
        found: Tensor = self._mask_logits(levels, boxes)[:, 0].sigmoid()
        return found

    def losses(
        self, levels: Levels, regions: list[Tensor], targets: Targets, weights: Tensor | None, smoothing: float
    ) -> dict[str, Tensor]:
        """weights: float32 (K + 1,) of the classes, background first. smoothing: of the classes."""
        sampled, matched, labels, wanted = self.select_training_samples(
            [each[~covered(each, target["ignored"])] for each, target in zip(regions, targets, strict=True)],
            list(targets),
        )
        logits, deltas = self._predict(levels, sampled)
        label, count = torch.cat(labels), max(1, sum(map(len, labels)))
        objects = label > 0
        box = nn.functional.smooth_l1_loss(deltas[objects], torch.cat(wanted)[objects], beta=_BETA, reduction="sum")
        kind = nn.functional.cross_entropy(logits, label, weights, label_smoothing=smoothing)
        # Without a region to look at, as where crowds are all over, the mean is no number.
        losses = {"class": kind if len(label) else logits.sum() * 0, "box": box / count}
        if self.has_mask():
            losses["mask"] = self._mask_loss(levels, sampled, matched, labels, targets)
        return losses

    def _predict(self, levels: Levels, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = self.box_roi_pool(levels, regions, [self._input_size] * len(regions))
        logits, deltas = self.box_predictor(self.box_head(pooled))
        return logits, deltas

    def _mask_logits(self, levels: Levels, boxes: list[Tensor]) -> Tensor:
        pooled = self.mask_roi_pool(levels, boxes, [self._input_size] * len(boxes))
        found: Tensor = self.mask_predictor(self.mask_head(pooled))
        return found

    def _mask_loss(
        self, levels: Levels, sampled: list[Tensor], matched: list[Tensor], labels: list[Tensor], targets: Targets
    ) -> Tensor:
        objects = [label > 0 for label in labels]
        boxes = [box[chosen] for box, chosen in zip(sampled, objects, strict=True)]
        of = [index[chosen] for index, chosen in zip(matched, objects, strict=True)]
        one_class = [torch.zeros_like(target["labels"]) for target in targets]
        masks = [target["masks"] for target in targets]
        return torch.as_tensor(maskrcnn_loss(self._mask_logits(levels, boxes), boxes, masks, one_class, of))


def class_weights(counts: Sequence[int]) -> Tensor:
    """float32 (K + 1,): inverse to the square root of the number of objects, 1 on average and for background.

    The root, as regions are sampled: rare classes are already seen more often than in the data.
    """
    inverse = torch.tensor([max(1, count) for count in counts], dtype=torch.float32).rsqrt()
    return torch.cat([torch.ones(1), inverse / inverse.mean()])
