"""Which places of the maps learn an object: those whose class and box agree with it best, chosen anew at each step.

Source: Feng et al., TOOD: Task-aligned One-stage Object Detection, 2021, sections 3.2 and 3.3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

_PLACES = 13  # of an object
_SHARPNESS = 6.0  # of the overlap beside the score
_LEAST_SIDE = 16.0  # pixels of the model input; the centre of a place lies in every box of twice the finest stride
_TINY = 1e-9


@dataclass(frozen=True)
class Assigned:
    """Of the places of one picture. of: int64 (A,), the object that a place learns, -1 for none.

    quality: float32 (A,), 0 to 1: what the score of its class is to be there; 0 for none.
    """

    of: Tensor
    quality: Tensor


def assign(scores: Tensor, boxes: Tensor, centres: Tensor, objects: Tensor, labels: Tensor) -> Assigned:
    """What the places of a picture learn, from what they answer now.

    scores: float32 (A, K), probabilities. boxes: float32 (A, 4), x_min y_min x_max y_max in pixels of the model
    input. centres: float32 (A, 2). objects: float32 (N, 4). labels: int64 (N,), from 0 on. A place may learn an
    object only from within its box; of several it learns the one that it overlaps most.
    """
    if not len(objects):
        return Assigned(torch.full((len(boxes),), -1), scores.new_zeros(len(boxes)))
    overlaps = box_iou(objects, boxes).nan_to_num()  # (N, A)
    agreed = scores.T[labels] * overlaps**_SHARPNESS * _inside(centres, objects)  # (N, A)
    best = agreed.topk(min(_PLACES, len(boxes)), dim=1).indices
    chosen = torch.zeros_like(agreed, dtype=torch.bool).scatter_(1, best, value=True) & (agreed > _TINY**2)
    of = torch.where(chosen, overlaps, -1.0).argmax(dim=0)  # (A,)
    some = chosen.any(dim=0)
    mine = torch.zeros_like(chosen).scatter_(0, of[None], some[None])  # (N, A), at most one object a place
    agreed, overlaps = agreed * mine, overlaps * mine
    # The best place of an object is to score as high as the best box of it overlaps.
    scale = overlaps.amax(dim=1) / agreed.amax(dim=1).clamp(min=_TINY**2)  # (N,)
    return Assigned(torch.where(some, of, -1), (agreed * scale[:, None]).amax(dim=0))


def _inside(centres: Tensor, objects: Tensor) -> Tensor:
    """bool (N, A); small boxes are taken as larger ones, so that some place is in each."""
    middle = (objects[:, :2] + objects[:, 2:]) / 2
    half = (objects[:, 2:] - objects[:, :2]).clamp(min=_LEAST_SIDE) / 2
    return ((centres[None] - middle[:, None]).abs() < half[:, None]).all(dim=2)
