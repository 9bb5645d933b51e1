"""A memory of places of good pictures: the distance of a place is that to the nearest one in it.

Source: Roth et al., Towards Total Recall in Industrial Anomaly Detection (PatchCore), 2022, sections 3.1 to 3.3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.heads.anomaly.learn.gaussian import FEWEST
from trunkline.heads.anomaly.learn.places import Progress, batches, joined, rows_of
from trunkline.heads.learner import TaskNet

_SEEN = 50_000  # places that the memory is chosen from
_MEMORY = 1000
_PROJECTED = 64
_SPREAD_FLOOR = 1e-6


class PatchNet(TaskNet):
    """Maps float32 (N, C, H, W) -> distances float32 (N, 1, h, w).

    Distances to all places of the memory are a product of matrices: |x - m|² = |x|² - 2 x m + |m|².
    """

    is_solved = True
    mean: Tensor
    spread: Tensor
    memory: Tensor

    def __init__(self, channels: Mapping[str, int], grid: int) -> None:
        super().__init__()
        width, self._grid = sum(channels.values()), grid
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("memory", torch.zeros(_MEMORY, width))

    @torch.inference_mode()
    def solve(self, train: Any, validation: Any | None, progress: Progress) -> dict[str, Any]:
        """Raises InvalidRequestError for fewer than five pictures."""
        if len(train) < FEWEST:
            raise InvalidRequestError(f"{len(train)} good pictures are too few to learn from: {FEWEST} at least")
        each = max(1, _SEEN // (len(train) * train.views))
        parts = []
        for maps in batches(train, "places", progress):
            for places in joined(maps, self._grid):
                rows = rows_of(places[None])
                parts.append(rows[torch.randperm(len(rows))[:each]])
        seen = torch.cat(parts)  # (S, D)
        self.mean.copy_(seen.mean(dim=0))
        self.spread.copy_(seen.std(dim=0).clamp(min=_SPREAD_FLOOR))
        scaled = (seen - self.mean) / self.spread
        chosen = far_apart(scaled, min(_MEMORY, len(scaled)), progress)
        self.memory = scaled[chosen].clone()
        return {"places": len(self.memory), "chosen_from": len(seen)}

    def forward(self, *maps: Tensor) -> Tensor:
        return self.learn(maps)

    def learn(self, maps: Sequence[Tensor]) -> Tensor:
        places = joined(maps, self._grid)
        scaled = (places - self.mean[:, None, None]) / self.spread[:, None, None]  # (N, D, h, w)
        lengths = self.memory.square().sum(dim=1)  # (M,)
        near = nn.functional.conv2d(scaled, -2 * self.memory[:, :, None, None], lengths).amin(dim=1, keepdim=True)
        return (near + scaled.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt()


def far_apart(rows: Tensor, count: int, progress: Progress) -> Tensor:
    """Indices int64 (count,) of rows float32 (S, D): each the farthest from those before (greedy k-centre).

    In a random projection, which keeps distances nearly. Sources: PatchCore, algorithm 1; Gonzalez, Clustering to
    Minimize the Maximum Intercluster Distance, 1985; Johnson, Lindenstrauss, 1984.
    """
    width = min(_PROJECTED, rows.shape[1])
    near = rows @ (torch.randn(rows.shape[1], width) / width**0.5)  # (S, P)
    lengths = near.square().sum(dim=1)
    chosen = torch.zeros(count, dtype=torch.int64)
    away = torch.full((len(near),), torch.inf)
    for place in range(1, count):
        last = int(chosen[place - 1])
        away = torch.minimum(away, lengths - 2 * (near @ near[last]) + lengths[last])
        chosen[place] = away.argmax()
        if place % 100 == 0:
            progress("memory", place, count)
    progress("memory", count, count)
    return chosen
