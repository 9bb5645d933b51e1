"""What is in a region: class, exact box and outline, from the levels of a pyramid.

Sources: Cai and Vasconcelos, Cascade R-CNN, 2018; He et al., Mask R-CNN, 2017; the parts are torchvision's. Boxes and
outlines are learned for all classes together, so that a region has one of each whatever its class is: Mask R-CNN,
section 4.2, finds such masks nearly as good.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import maskrcnn_loss
from torchvision.ops import MultiScaleRoIAlign

from trunkline.heads.detection.learn.proposals import Targets
from trunkline.heads.detection.learn.sizes import RcnnSize
from trunkline.heads.detection.learn.stages import GRADES, SAMPLES, Levels, Sampled, Stage

_MASK_CELLS = 14  # of a region at a side


class Regions(nn.Module):
    """Regions of pictures of one size to classes, boxes and, with `masks`, outlines.

    Each stage makes better boxes of those of the stage before, and learns from what overlaps objects more.
    """

    def __init__(
        self, classes: int, size: RcnnSize, input_size: tuple[int, int], dropout: float, *, masks: bool
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(classes, size, input_size, dropout, grade) for grade in GRADES)
        if masks:
            self.mask_pool = MultiScaleRoIAlign(list(size.maps), _MASK_CELLS, SAMPLES)
            self.mask_head = MaskRCNNHeads(size.width, (size.width,) * size.mask_layers, 1)
            self.mask_predictor = MaskRCNNPredictor(size.width, size.width, 1)
        self._input_size, self._masks = input_size, masks

    def describe(self, levels: Levels, regions: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For each picture, (M, 4) regions -> boxes (M, 4), clipped to the input, and probabilities (M, K).

        Probabilities are the mean of those of all stages: Cascade R-CNN, section 4.2.
        """
        counts = [each.shape[0] for each in regions]
        scores = []
        for stage in self.stages:
            logits, deltas = stage.predict(levels, regions)  # type: ignore[operator]
            boxes = stage.moved(deltas, regions)  # type: ignore[operator]
            scores.append(logits.softmax(dim=1)[:, 1:])
            # With one picture, a split would fix the number of regions in an exported graph.
            regions = [boxes] if len(counts) == 1 else list(torch.split(boxes, counts))
        score = torch.stack(scores).mean(dim=0)
        return regions, [score] if len(counts) == 1 else list(torch.split(score, counts))

    def outline(self, levels: Levels, boxes: list[Tensor]) -> Tensor:
        """Boxes of all pictures -> probabilities (M, h, w) that a pixel of the box is one of the object."""
        found: Tensor = self._mask_logits(levels, boxes)[:, 0].sigmoid()
        return found

    def losses(
        self, levels: Levels, regions: list[Tensor], targets: Targets, weights: Tensor | None, smoothing: float
    ) -> dict[str, Tensor]:
        """weights: float32 (K + 1,) of the classes, background first. smoothing: of the classes."""
        losses: dict[str, Tensor] = {}
        for number, stage in enumerate(self.stages, 1):
            found, sampled, regions = stage.losses(levels, regions, targets, weights, smoothing)  # type: ignore[operator]
            losses |= {f"{name}_{number}": loss for name, loss in found.items()}
        if self._masks:
            losses["mask"] = self._mask_loss(levels, sampled, targets)
        return losses

    def _mask_logits(self, levels: Levels, boxes: list[Tensor]) -> Tensor:
        pooled = self.mask_pool(levels, boxes, [self._input_size] * len(boxes))
        found: Tensor = self.mask_predictor(self.mask_head(pooled))
        return found

    def _mask_loss(self, levels: Levels, sampled: Sampled, targets: Targets) -> Tensor:
        """Of the last stage's regions: they are the most like those that get outlines when served."""
        objects = [label > 0 for label in sampled.labels]
        boxes = [box[chosen] for box, chosen in zip(sampled.regions, objects, strict=True)]
        of = [index[chosen] for index, chosen in zip(sampled.matched, objects, strict=True)]
        one_class = [torch.zeros_like(target["labels"]) for target in targets]
        masks = [target["masks"] for target in targets]
        return torch.as_tensor(maskrcnn_loss(self._mask_logits(levels, boxes), boxes, masks, one_class, of))


def class_weights(counts: Sequence[int]) -> Tensor:
    """float32 (K + 1,): inverse to the square root of the number of objects, 1 on average and for background.

    The root, as regions are sampled: rare classes are already seen more often than in the data.
    """
    inverse = torch.tensor([max(1, count) for count in counts], dtype=torch.float32).rsqrt()
    return torch.cat([torch.ones(1), inverse / inverse.mean()])
