"""Average precision of answers to validation pictures, in the frame of the model."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision


class AveragePrecision(MeanAveragePrecision):
    """COCO's AP of boxes, mean over IoU 0.5 to 0.95 and the classes, 0 to 1."""

    def __init__(self) -> None:
        super().__init__(backend="faster_coco_eval")
        self.warn_on_many_detections = False

    def update(self, answers: Sequence[Mapping[str, Tensor]], truth: Sequence[Mapping[str, Tensor]]) -> None:
        """answers: boxes (n, 4), scores (n,), labels (n,). truth: as the net takes it, see `target`."""
        super().update([dict(each) for each in answers], [_with_crowds(each) for each in truth])

    def compute(self) -> Tensor:  # type: ignore[override]
        found: Tensor = super().compute()["map"]
        return found.clamp(min=0)  # -1 where there is nothing to find


def _with_crowds(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A region that is ignored belongs to every class of the picture, and no answer there is wrong."""
    ignored = target["ignored"]
    labels = target["labels"]
    kinds = torch.unique(labels) if len(ignored) else labels[:0]
    regions = ignored.repeat(len(kinds), 1)
    return {
        "boxes": torch.cat([target["boxes"], regions]),
        "labels": torch.cat([labels, kinds.repeat_interleave(len(ignored))]),
        "iscrowd": torch.cat([torch.zeros_like(labels), torch.ones(len(regions), dtype=labels.dtype)]),
    }
