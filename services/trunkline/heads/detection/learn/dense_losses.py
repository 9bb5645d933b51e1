"""Losses of detectors that answer at every place of their maps.

Sources: Li et al., Generalized Focal Loss, 2020 (quality and distribution focal loss); Rezatofighi et al.,
Generalized Intersection over Union, 2019, by torchvision.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss


def quality_focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """float32 (..., K) logits and scores that they are to have, 0 to 1 -> loss of each, of the same shape."""
    away = (logits.sigmoid() - wanted).abs()
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * away.square()


def distribution_focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """float32 (P, 4, B) logits of the bins of a side, and where the sides are, (P, 4) in bins -> loss (P,)."""
    wanted = wanted.clamp(0, logits.shape[2] - 1 - 1e-3)
    low = wanted.floor()
    share = (wanted - low)[..., None]
    logs = logits.log_softmax(dim=2)
    at = low.to(torch.int64)[..., None]
    return -(logs.gather(2, at) * (1 - share) + logs.gather(2, at + 1) * share).mean(dim=(1, 2))


def box_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """float32 (P, 4) corners each -> (P,), 0 where they are the same, up to 2."""
    loss: Tensor = generalized_box_iou_loss(found, wanted)
    return loss
