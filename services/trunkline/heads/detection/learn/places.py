"""Places of the maps of a pyramid, and boxes by how far their sides are from a place."""

from collections.abc import Sequence

import torch
from torch import Tensor

STRIDES = (8, 16, 32)
BINS = 17  # of a side, each as long as the stride


def places_of(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Of all levels, fine to coarse: centres float32 (A, 2) in pixels of the model input, strides float32 (A, 1)."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([x.flatten(), y.flatten()], dim=1) + 0.5) * stride)
        strides.append(torch.full((x.numel(), 1), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def in_a_row(levels: Sequence[Tensor]) -> Tensor:
    """(N, C, H, W) each -> (N, A, C)"""
    return torch.cat([each.flatten(2) for each in levels], dim=2).transpose(1, 2)


def boxes_at(logits: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """(..., A, 4, B) -> (..., A, 4): a side is the mean of its distribution."""
    bins = torch.arange(BINS, dtype=logits.dtype)
    sides = (logits.softmax(dim=-1) * bins).sum(dim=-1) * strides  # left, top, right, bottom
    return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1)


def sides_of(boxes: Tensor, centres: Tensor) -> Tensor:
    """(P, 4) corners -> (P, 4), how far left, top, right and bottom are from the centre."""
    return torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], dim=1)


def within(centres: Tensor, regions: Tensor) -> Tensor:
    """bool (A,): whether a place lies in any of (M, 4)."""
    inside = (centres[:, None] > regions[None, :, :2]) & (centres[:, None] < regions[None, :, 2:])
    return inside.all(dim=2).any(dim=1)
