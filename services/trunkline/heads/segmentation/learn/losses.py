"""Losses for classes of very different size. logits float32 (N, K, H, W), truth int64 (N, H, W), IGNORED left out."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from trunkline.heads.segmentation.label_map import IGNORED

Name = Literal["cross_entropy", "dice", "focal", "combined"]


class SegmentationLoss(nn.Module):
    """combined: cross-entropy, which says what every pixel is, plus Dice, which counts small classes like large ones.

    Sources: Milletari et al., V-Net, 2016 (Dice); Lin et al., Focal Loss for Dense Object Detection, 2017.
    """

    weights: Tensor | None

    def __init__(self, name: Name, weights: Tensor | None, smoothing: float) -> None:
        """weights: float32 (K,) of the classes in the cross-entropy; None for all alike."""
        super().__init__()
        self._name, self._smoothing = name, smoothing
        self.register_buffer("weights", weights)
        self._dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORED)

    def forward(self, logits: Tensor, truth: Tensor) -> Tensor:
        if self._name == "focal":
            return _focal(logits, truth)
        if self._name == "dice":
            return torch.as_tensor(self._dice(logits, truth))
        entropy = nn.functional.cross_entropy(
            logits, truth, self.weights, ignore_index=IGNORED, label_smoothing=self._smoothing
        )
        return entropy + self._dice(logits, truth) if self._name == "combined" else entropy


def _focal(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, times the square of how far the probability of the true class is from 1."""
    entropy = nn.functional.cross_entropy(logits, truth, ignore_index=IGNORED, reduction="none")  # (N, H, W)
    known = (truth != IGNORED).sum().clamp(min=1)
    return ((1 - torch.exp(-entropy)) ** 2 * entropy).sum() / known


def median_frequencies(masks: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Weights of the classes, float32 (classes,): the median of their frequencies over the own one.

    The frequency of a class is its share of the pixels of those pictures that have it. 0 for a class that none has.
    Source: Eigen and Fergus, 2015, section 4.3.2, as SegNet's paper uses it. masks: uint8 (H, W) each, labels.
    """
    pixels, of = np.zeros(classes), np.zeros(classes)
    for mask in masks:
        counts = np.bincount(mask[mask != IGNORED], minlength=classes)[:classes]
        pixels += counts
        of += np.where(counts, counts.sum(), 0)
    frequencies = pixels / np.maximum(of, 1)
    seen = frequencies > 0
    weights = np.zeros(classes, np.float32)
    weights[seen] = np.median(frequencies[seen]) / frequencies[seen]
    return weights
