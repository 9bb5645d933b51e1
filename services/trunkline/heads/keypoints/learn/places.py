"""Places from heatmaps, and the loss that makes heatmaps narrow hills around the places.

Sources: Sun et al., Integral Human Pose Regression, ECCV 2018 (the mean over a softmax); Nibali et al., Numerical
Coordinate Regression with Convolutional Neural Networks, 2018 (a Gaussian that the heatmap is drawn to, beside the
distance).
"""

import torch
from torch import Tensor, nn

_NEAR = 0.05  # of the input: a place that is off by so much is worth exp(-1/2)
_SPREAD = 1.0  # standard deviation of the Gaussian, in pixels of the heatmap
_DISTANCE = 20.0  # weight of the distance, in sides of the input, beside the divergence
KNOWN, SEEN = 2, 3  # columns of the truth behind x and y


def read_off(heat: Tensor, seen: Tensor) -> Tensor:
    """Heatmaps float32 (N, K, h, w) and logits float32 (N, K) -> float32 (N, K, 4).

    x, y: the mean place, as shares of the input. score: how much of the heatmap lies near it, which is the mean
    likeness of the place to where the point may be. visibility: a probability.
    """
    shares = _shares(heat)
    x, y = _means(shares)
    across, down = _axes(heat)
    near_x = torch.exp(-(((across - x[:, :, None]) / _NEAR) ** 2) / 2)  # (N, K, w)
    near_y = torch.exp(-(((down - y[:, :, None]) / _NEAR) ** 2) / 2)  # (N, K, h)
    score = (shares * near_x[:, :, None, :] * near_y[:, :, :, None]).sum(dim=(2, 3))
    return torch.stack([x, y, score, torch.sigmoid(seen)], dim=2)


def point_loss(answers: tuple[Tensor, Tensor], truth: Tensor) -> Tensor:
    """Scalar. truth: float32 (N, K, 4), x and y as shares of the input, known and seen as 0 or 1."""
    heat, seen = answers
    known = truth[:, :, KNOWN]
    shares = _shares(heat)
    x, y = _means(shares)
    distance = (x - truth[:, :, 0]).abs() + (y - truth[:, :, 1]).abs()  # (N, K)
    hidden = nn.functional.binary_cross_entropy_with_logits(seen, truth[:, :, SEEN], reduction="none")
    each = _DISTANCE * distance + _divergence(heat, truth) + hidden
    return (known * each).sum() / known.sum().clamp(min=1)


def distances(answers: tuple[Tensor, Tensor], truth: Tensor) -> Tensor:
    """float32 (M,): how far each point that is known is off, in sides of the input."""
    x, y = _means(_shares(answers[0]))
    off = torch.hypot(x - truth[:, :, 0], y - truth[:, :, 1])  # (N, K)
    return off[truth[:, :, KNOWN] > 0]


def _divergence(heat: Tensor, truth: Tensor) -> Tensor:
    """(N, K): of the heatmap from a Gaussian around the place, Kullback-Leibler."""
    height, width = heat.shape[2:]
    across, down = _axes(heat)
    wide = nn.functional.log_softmax(-(((across - truth[:, :, :1]) * width / _SPREAD) ** 2) / 2, dim=2)  # (N, K, w)
    high = nn.functional.log_softmax(-(((down - truth[:, :, 1:2]) * height / _SPREAD) ** 2) / 2, dim=2)  # (N, K, h)
    wanted = (high[:, :, :, None] + wide[:, :, None, :]).flatten(2)  # (N, K, h * w), logarithms
    found = nn.functional.log_softmax(heat.flatten(2), dim=2)
    return nn.functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=2)


def _shares(heat: Tensor) -> Tensor:
    """(N, K, h, w), of which each heatmap adds up to 1."""
    return torch.softmax(heat.flatten(2), dim=2).reshape(heat.shape)


def _means(shares: Tensor) -> tuple[Tensor, Tensor]:
    """x and y, (N, K) each."""
    across, down = _axes(shares)
    return (shares.sum(dim=2) * across).sum(dim=2), (shares.sum(dim=3) * down).sum(dim=2)


def _axes(heat: Tensor) -> tuple[Tensor, Tensor]:
    """Middles of the columns (w,) and of the rows (h,), as shares."""
    height, width = heat.shape[2:]
    return (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
