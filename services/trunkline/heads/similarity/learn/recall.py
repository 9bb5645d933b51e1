"""Recall at 1 over vectors that come in batches."""

import torch
import torchmetrics
from torch import Tensor, nn


class RecallAtOne(torchmetrics.Metric):
    """Share of pictures whose nearest other picture is of their class."""

    vectors: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("vectors", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, answers: Tensor, truth: Tensor) -> None:
        """answers: float32 (N, D); truth: int64 (N,)."""
        self.vectors.append(nn.functional.normalize(answers, dim=1))
        self.labels.append(truth)

    def compute(self) -> Tensor:
        vectors = self.vectors if isinstance(self.vectors, Tensor) else torch.cat(self.vectors)  # (N, D)
        labels = self.labels if isinstance(self.labels, Tensor) else torch.cat(self.labels)
        similarity = (vectors @ vectors.T).fill_diagonal_(-2)  # (N, N)
        # A picture that was drawn twice is no other picture.
        similarity[similarity > 1 - 1e-6] = -2
        return (labels[similarity.argmax(dim=1)] == labels).to(torch.float32).mean()
