"""Boxes of an R-CNN: its regressors on its windows."""

import torch
from torch import Tensor

_SHARPNESS = 4.0  # with which the regressor of the best class is chosen
_LONGEST = 2.0  # logarithm of the ratio by which a side may be changed
_CENTRE = 1.0  # of the window's side by which a centre may be moved


def chosen(decisions: Tensor, deltas: Tensor) -> Tensor:
    """(n, K) and (n, K, 4) -> (n, 4): those of the best class, and of two that are nearly as good a mixture.

    So that the last bit of a decision never moves a box.
    """
    shares = torch.softmax(_SHARPNESS * decisions, dim=1)
    return (shares[:, :, None] * deltas).sum(dim=1)


def moved(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Boxes (n, 4), changed by (n, 4): centre by shares of the sides, sides by factors. The paper's appendix C."""
    sides = boxes[:, 2:] - boxes[:, :2]  # (n, 2)
    centres = boxes[:, :2] + 0.5 * sides + deltas[:, :2].clamp(-_CENTRE, _CENTRE) * sides
    reach = 0.5 * sides * torch.exp(deltas[:, 2:].clamp(-_LONGEST, _LONGEST))
    return torch.cat([centres - reach, centres + reach], dim=1)
