"""The weights of the latest steps, averaged: what is measured and kept, while those of the last step learn on.

So is what batch norms know of the data, which else depends on the few pictures of the last steps.
Sources: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992; Ge et al., YOLOX, 2021.
"""

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

_LEAST = 2e-3  # share of a step; before there were many, about nine of as many as there were


class Averaged(WeightAveraging):
    """Goes on from a checkpoint. Leaves the net with the averages at the end."""

    def __init__(self) -> None:
        super().__init__(avg_fn=_lately)


def _lately(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    share = max(_LEAST, 9 / (10 + int(count)))
    return average + (current - average) * share
