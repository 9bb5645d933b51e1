"""Where objects may be: the region proposal network on the levels of a pyramid.

Source: Ren et al., Faster R-CNN, 2015, section 3.1; the parts are torchvision's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image, sigmoid_focal_loss

from trunkline.heads.detection.learn.anchors import FittedAnchors
from trunkline.heads.detection.learn.sizes import RcnnSize

ANCHORS = 3  # at a place of a level
_FOREGROUND, _BACKGROUND = 0.7, 0.3  # IoU with an object from which, and below which, an anchor is a sample
_SAMPLED, _POSITIVE = 256, 0.5  # anchors of a picture in a step, and which share may be objects
_NMS_IOU = 0.6  # beneath the usual 0.7: where many large objects are, small ones need the places
_COVERED = 0.5  # share of a box that lies in an ignored region, from which on it is ignored itself
_BETA = 1 / 9  # where the smooth L1 loss goes from square to straight, as torchvision has it

Targets = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Found:
    """Of N pictures, all anchors A: logits (N * A, 1), deltas (N * A, 4); boxes: for each picture, (P, 4)."""

    logits: Tensor
    deltas: Tensor
    boxes: list[Tensor]


class Proposals(RegionProposalNetwork):  # type: ignore[misc]
    """Pictures of one size, so that anchors are a constant. With `focal`, all anchors are samples."""

    anchors: Tensor

    def __init__(
        self,
        levels: Sequence[Sequence[tuple[float, float]]],
        size: RcnnSize,
        input_size: tuple[int, int],
        *,
        focal: bool,
    ) -> None:
        """levels: anchors (width, height) of each. input_size: (height, width) of the model input."""
        generator = FittedAnchors(levels)
        top = {"training": 2 * size.candidates, "testing": size.candidates}
        left = {"training": size.learned, "testing": size.proposals}
        head = RPNHead(size.width, len(levels[0]))
        super().__init__(generator, head, _FOREGROUND, _BACKGROUND, _SAMPLED, _POSITIVE, top, left, _NMS_IOU)
        self._input_size, self._focal = input_size, focal
        self.register_buffer("anchors", _laid_out(generator, size.maps, input_size), persistent=False)
        if focal:
            nn.init.constant_(
                head.cls_logits.bias, -4.6
            )  # so that the many easy anchors do not drown the first steps

    def propose(self, levels: Sequence[Tensor]) -> Found:
        """Levels (N, C, h, w), fine to coarse. Boxes are clipped to the input, best first."""
        logits, deltas = self.head(levels)
        counts = [level[0].numel() for level in logits]
        count = levels[0].shape[0]
        flat_logits, flat_deltas = concat_box_prediction_layers(logits, deltas)
        boxes = self.box_coder.decode(flat_deltas.detach(), [self.anchors] * count).view(count, -1, 4)
        kept, _ = self.filter_proposals(boxes, flat_logits, [self._input_size] * count, counts)
        return Found(flat_logits, flat_deltas, kept)

    def losses(self, found: Found, targets: Targets) -> dict[str, Tensor]:
        anchors = [self.anchors] * len(targets)
        labels, matched = self.assign_targets_to_anchors(anchors, targets)
        seen = clip_boxes_to_image(self.anchors, self._input_size)
        for label, target in zip(labels, targets, strict=True):
            label[(label == 0) & covered(seen, target["ignored"])] = -1
        if not any((label >= 0).any() for label in labels):  # crowds all over: a mean of nothing is no number
            return {"proposal_class": found.logits.sum() * 0, "proposal_box": found.deltas.sum() * 0}
        wanted = self.box_coder.encode(matched, anchors)
        loss = self._focal_losses if self._focal else self.compute_loss
        objectness, box = loss(found.logits, found.deltas, labels, wanted)
        return {"proposal_class": objectness, "proposal_box": box}

    def _focal_losses(
        self, logits: Tensor, deltas: Tensor, labels: list[Tensor], wanted: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Source: Lin et al., Focal Loss for Dense Object Detection, 2017, section 3.2."""
        label = torch.cat(labels)
        known, objects = label >= 0, label > 0
        count = objects.sum().clamp(min=1)
        objectness = sigmoid_focal_loss(logits.flatten()[known], label[known], reduction="sum") / count
        box = nn.functional.smooth_l1_loss(deltas[objects], torch.cat(wanted)[objects], beta=_BETA, reduction="sum")
        return objectness, box / (4 * count)


def covered(boxes: Tensor, regions: Tensor) -> Tensor:
    """(N, 4) and (M, 4) -> bool (N,): half of the box lies in one of the regions. Crowds hold many small boxes."""
    if not len(regions):
        return torch.zeros(len(boxes), dtype=torch.bool)
    low = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)  # (N, M)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).clamp(min=1e-6)
    return shared.amax(dim=1) / areas >= _COVERED


def _laid_out(generator: FittedAnchors, maps: Sequence[str], input_size: tuple[int, int]) -> Tensor:
    """(A, 4), level by level. A map named cN has the stride 2 ** N."""
    height, width = input_size
    strides = [2 ** int(name[1:]) for name in maps]
    levels = [torch.empty(1, 0, height // stride, width // stride) for stride in strides]
    found: Tensor = generator(ImageList(torch.empty(1, 0, height, width), [input_size]), levels)[0]
    return found
