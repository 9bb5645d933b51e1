"""A one-stage detector on the maps of a backbone: a light pyramid, towers that all levels share, no anchors.

Sources: Feng et al., TOOD, 2021 (which places learn an object); Li et al., Generalized Focal Loss, 2020 (scores that
say how well a box fits, sides as distributions); Lyu et al., RTMDet, 2022 (shared towers, outlines by kernels).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, nms

from trunkline.heads.detection.learn.assignment import Assigned, assign
from trunkline.heads.detection.learn.dense_losses import box_loss, distribution_focal, quality_focal
from trunkline.heads.detection.learn.kernels import Kernels
from trunkline.heads.detection.learn.light_pyramid import LightPyramid
from trunkline.heads.detection.learn.parity import largest_difference
from trunkline.heads.detection.learn.places import BINS, STRIDES, boxes_at, in_a_row, places_of, sides_of, within
from trunkline.heads.detection.learn.sizes import OUTLINED_NMS_IOU, DenseSize
from trunkline.heads.detection.learn.towers import Tower
from trunkline.heads.learner import TaskNet

_LEAST_OUTLINED = 0.01
_PRIOR = 0.01  # score of every place at the start
_SIDE = 2.0  # strides: mean of every side at the start, as objects of a level are about four strides long
_BOX, _DISTRIBUTION = 2.0, 0.5  # of the losses, beside the others
_NMS_IOU, _MOST, _LEAST_SCORE = 0.6, 100, 0.01  # of answers to validation pictures
_LEARNED_OUTLINES = 24  # places of a picture that learn outlines in a step

Targets = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class _Seen:
    """Of all places of all levels, A together. scores: logits (N, A, K). known: (N, A, width), of boxes."""

    levels: list[Tensor]
    scores: Tensor
    known: Tensor


class OneStage(TaskNet):
    """Maps c2 to c5, float32 (N, C, H, W), of pictures of one size.

    forward, of one picture: boxes float32 (1, M, 4), scores float32 (1, M, K) and, with cells, masks float32
    (1, M, h, w), as `Head` of the task takes them. Of all places only the best are answered.
    """

    makes_losses = True
    weights: Tensor | None
    centres: Tensor
    strides: Tensor

    def __init__(
        self,
        channels: Mapping[str, int],
        classes: int,
        size: DenseSize,
        input_size: tuple[int, int],
        cells: tuple[int, int] | None = None,
        weights: Tensor | None = None,
    ) -> None:
        """input_size: (height, width). cells: (rows, columns) of a box whose outline is wanted; None for boxes alone.

        weights: float32 (K,) of the classes in the loss.
        """
        super().__init__()
        self.outputs = ("boxes", "scores") if cells is None else ("boxes", "scores", "masks")
        self.register_buffer("weights", weights, persistent=False)
        self._answered = size.answered
        self.pyramid = LightPyramid(tuple(channels.values()), size.width, size.depth)
        self.class_tower = Tower(size.width, size.tower, len(STRIDES))
        self.box_tower = Tower(size.width, size.tower, len(STRIDES))
        self.scores = nn.Linear(size.width, classes)
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.constant_(self.scores.bias, float(np.log(_PRIOR / (1 - _PRIOR))))
        self.sides = nn.Linear(size.width, 4 * BINS)
        nn.init.normal_(self.sides.weight, std=0.01)
        self.sides.bias.data = (torch.arange(BINS) * float(np.log(_SIDE / (1 + _SIDE)))).repeat(4)  # geometric
        self.outlines = None if cells is None else Kernels(next(iter(channels.values())), size.width, cells)
        centres, strides = places_of(*input_size)
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    def losses(self, maps: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """Scalars by name, to be added up."""
        seen = self._seen(maps)
        with torch.no_grad():  # few places learn sides; all take part in the choice of those
            logits = self.sides(seen.known).unflatten(2, (4, BINS))  # (N, A, 4, B)
            boxes = boxes_at(logits, self.centres, self.strides)  # (N, A, 4)
            assigned = [
                assign(score, box, self.centres, target["boxes"], target["labels"] - 1)
                for score, box, target in zip(seen.scores.sigmoid(), boxes, targets, strict=True)
            ]
        quality = torch.stack([each.quality for each in assigned])  # (N, A)
        total = quality.sum().clamp(min=1.0)
        losses = {"score": self._score_loss(seen.scores, assigned, targets) / total}
        losses |= self._side_losses(seen.known, assigned, targets, total)
        if self.outlines is not None:
            losses["mask"] = self._outline_loss(self.outlines, maps[0], seen, boxes, assigned, targets)
        return losses

    def answers(self, maps: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """For each picture: boxes (n, 4), scores (n,) and labels int64 (n,) from 1 on, overlapping ones left out."""
        seen = self._seen(maps)
        return [self._best(*each) for each in zip(seen.scores.sigmoid(), seen.known, strict=True)]

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        seen = self._seen(maps)
        score, known, boxes = self._answers_at(seen.scores[0].sigmoid(), seen.known[0])
        if self.outlines is None:
            return boxes[None], score[None]
        best = score.amax(dim=1)
        kept = nms(boxes, best, OUTLINED_NMS_IOU)[:_MOST]
        kept = kept[best[kept] >= _LEAST_OUTLINED]
        boxes, score, known = boxes[kept], score[kept], known[kept]
        shown = self.outlines.shown(maps[0], seen.levels[0])
        return boxes[None], score[None], self.outlines(shown, known, [boxes]).sigmoid()[None]

    def difference(self, want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
        return largest_difference(want, found)

    def _seen(self, maps: Sequence[Tensor]) -> _Seen:
        levels = self.pyramid(maps)
        classes, boxes = in_a_row(self.class_tower(levels)), in_a_row(self.box_tower(levels))
        return _Seen(levels, self.scores(classes), boxes)

    def _answers_at(self, score: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (A, K), what is known of boxes (A, width) -> those of the best places, and their boxes (M, 4)."""
        best = score.amax(dim=1).topk(min(self._answered, score.shape[0])).indices
        logits = self.sides(known[best]).unflatten(1, (4, BINS))
        return score[best], known[best], boxes_at(logits, self.centres[best], self.strides[best])

    def _best(self, score: Tensor, known: Tensor) -> dict[str, Tensor]:
        score, _, boxes = self._answers_at(score, known)
        row, label = torch.where(score > _LEAST_SCORE)
        kept = batched_nms(boxes[row], score[row, label], label, _NMS_IOU)[:_MOST]
        return {"boxes": boxes[row[kept]], "scores": score[row[kept], label[kept]], "labels": label[kept] + 1}

    def _score_loss(self, logits: Tensor, assigned: Sequence[Assigned], targets: Targets) -> Tensor:
        """The sum over all places but those in regions that are ignored."""
        wanted, counted = torch.zeros_like(logits), torch.ones_like(logits[:, :, :1])
        for number, (each, target) in enumerate(zip(assigned, targets, strict=True)):
            places = (each.of >= 0).nonzero()[:, 0]
            wanted[number, places, target["labels"][each.of[places]] - 1] = each.quality[places]
            lost = within(self.centres, target["ignored"]) & (each.of < 0)
            counted[number, lost] = 0
        loss = quality_focal(logits, wanted) * counted
        return (loss if self.weights is None else loss * self.weights).sum()

    def _side_losses(
        self, known: Tensor, assigned: Sequence[Assigned], targets: Targets, total: Tensor
    ) -> dict[str, Tensor]:
        picture, place = (torch.stack([each.of for each in assigned]) >= 0).nonzero(as_tuple=True)  # (P,)
        of = [each.of[each.of >= 0] for each in assigned]
        wanted = torch.cat([target["boxes"][index] for target, index in zip(targets, of, strict=True)])  # (P, 4)
        share = torch.cat([each.quality[each.of >= 0] for each in assigned]) / total
        centres, strides = self.centres[place], self.strides[place]
        logits = self.sides(known[picture, place]).unflatten(1, (4, BINS))  # (P, 4, B)
        boxes, sides = boxes_at(logits, centres, strides), sides_of(wanted, centres) / strides
        return {
            "box": _BOX * (box_loss(boxes, wanted) * share).sum(),
            "distribution": _DISTRIBUTION * (distribution_focal(logits, sides) * share).sum(),
        }

    def _outline_loss(
        self,
        outlines: Kernels,
        fine: Tensor,
        seen: _Seen,
        boxes: Tensor,
        assigned: Sequence[Assigned],
        targets: Targets,
    ) -> Tensor:
        """Some places of each picture learn, those that serve best among more of them."""
        places = [_some(each, target["outlined"]) for each, target in zip(assigned, targets, strict=True)]
        known = torch.cat([of_picture[chosen] for of_picture, chosen in zip(seen.known, places, strict=True)])
        cut = [of_picture[chosen] for of_picture, chosen in zip(boxes, places, strict=True)]
        of = [each.of[chosen] for each, chosen in zip(assigned, places, strict=True)]
        masks = [target["masks"] for target in targets]
        return outlines.loss(outlines.shown(fine, seen.levels[0]), known, cut, of, masks)


def _some(assigned: Assigned, outlined: Tensor) -> Tensor:
    """int64 (m,), places that learn an object with an outline, drawn by their quality without replacement."""
    learning = assigned.of >= 0
    known = torch.zeros_like(learning)
    known[learning] = outlined[assigned.of[learning]]
    quality = assigned.quality * known
    there = int((quality > 0).sum())
    return torch.multinomial(quality, min(_LEARNED_OUTLINES, there)) if there else torch.zeros(0, dtype=torch.int64)
