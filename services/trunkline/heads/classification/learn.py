"""What training needs to know of classification: the net on features, its loss, its metric."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy


class FeatureClassifier(nn.Module):
    """Features of several levels to logits.

    Maps (N, C, H, W) are averaged over H and W, vectors (N, C) taken as they are; all are joined, standardised by
    the mean and spread of the training data, and classified by one linear layer behind dropout. Several levels
    together know more than the last one alone.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, widths: Mapping[str, int], classes: int, dropout: float) -> None:
        super().__init__()
        total = sum(widths.values())
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("spread", torch.ones(total))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(total, classes))

    def standardise(self, vectors: Tensor) -> None:
        """Learn mean and spread from float32 (N, total). A channel that never changes is left as it is."""
        spread, mean = torch.std_mean(vectors, dim=0, correction=0)
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def logits(self, vectors: Tensor) -> Tensor:
        """Joined vectors float32 (N, total) -> (N, classes)."""
        found: Tensor = self.classify((vectors - self.mean) / self.spread)
        return found

    def forward(self, *features: Tensor) -> Tensor:
        """Features in the order of the widths -> logits (N, classes)."""
        return self.logits(torch.cat([f.mean(dim=(2, 3)) if f.ndim == 4 else f for f in features], dim=1))


def loss(class_weights: Tensor | None, label_smoothing: float) -> nn.Module:
    """Cross-entropy. class_weights: float32 (classes,), None for equal ones."""
    return nn.CrossEntropyLoss(weight=class_weights, label_smoothing=label_smoothing)


def metric(classes: int) -> MulticlassAccuracy:
    """Share of right answers over all samples."""
    return MulticlassAccuracy(num_classes=classes, average="micro")
