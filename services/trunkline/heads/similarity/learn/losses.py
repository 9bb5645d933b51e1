"""Losses on vectors float32 (N, D), of any length, with labels int64 (N,): only directions count.

Those of pytorch-metric-learning, with the values of their papers, and the prototypical one.
"""

from typing import Literal

import torch
from pytorch_metric_learning.losses import ArcFaceLoss, ContrastiveLoss, ProxyAnchorLoss, TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor, nn

Name = Literal["contrastive", "triplet", "arcface", "proxy_anchor", "prototypical"]
_NEGATIVE_MARGIN = 1.0  # of distances between unit vectors, 0 to 2
_TRIPLET_MARGIN = 0.2
_ARC_MARGIN, _ARC_SCALE = 28.6, 32.0  # degrees; half of the paper's scale, for hundreds of classes rather than 10^5
_ANCHOR_MARGIN, _ANCHOR_ALPHA = 0.1, 32.0
_SCALE = 16.0  # of cosines, as logits


class SimilarityLoss(nn.Module):
    """arcface and proxy_anchor learn a vector for each class, which is a part of the loss and not of the head.

    Sources: Hadsell, Chopra, LeCun, 2006 (contrastive); Schroff, Kalenichenko, Philbin, FaceNet, 2015, section 3.2
    (triplets, semi-hard); Deng et al., ArcFace, 2019, section 3.1; Kim et al., Proxy Anchor Loss, 2020, section 3.2.
    """

    def __init__(self, name: Name, classes: int, width: int) -> None:
        super().__init__()
        self._miner: nn.Module | None = None
        if name == "contrastive":
            self._loss: nn.Module = ContrastiveLoss(pos_margin=0, neg_margin=_NEGATIVE_MARGIN)
        elif name == "triplet":
            self._loss = TripletMarginLoss(margin=_TRIPLET_MARGIN)
            self._miner = TripletMarginMiner(margin=_TRIPLET_MARGIN, type_of_triplets="semihard")
        elif name == "arcface":
            self._loss = ArcFaceLoss(classes, width, margin=_ARC_MARGIN, scale=_ARC_SCALE)
        elif name == "proxy_anchor":
            self._loss = ProxyAnchorLoss(classes, width, margin=_ANCHOR_MARGIN, alpha=_ANCHOR_ALPHA)
        else:
            self._loss = PrototypicalLoss()

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        if self._miner is None:
            return torch.as_tensor(self._loss(vectors, labels))
        return torch.as_tensor(self._loss(vectors, labels, self._miner(vectors, labels)))


class PrototypicalLoss(nn.Module):
    """Cross-entropy over the classes of a batch, each known by the mean of its unit vectors.

    A picture is no part of the mean that it is compared with; one that is alone in its class has no loss. Source:
    Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, 2017, section 2, with cosines for distances.
    """

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        unit = nn.functional.normalize(vectors, dim=1)  # (N, D)
        classes, of = torch.unique(labels, return_inverse=True)
        member = nn.functional.one_hot(of, len(classes)).to(unit.dtype)  # (N, P)
        sums = member.T @ unit  # (P, D)
        others = nn.functional.normalize(sums[of] - unit, dim=1)  # (N, D)
        cosines = unit @ nn.functional.normalize(sums, dim=1).T  # (N, P)
        own = (unit * others).sum(dim=1, keepdim=True)  # (N, 1)
        logits = _SCALE * torch.where(member > 0, own, cosines)
        together = member.sum(dim=0)[of] > 1  # (N,)
        if not together.any():
            return (vectors * 0).sum()
        return nn.functional.cross_entropy(logits[together], of[together])
