"""Losses of different size and kind, brought to one."""

from collections.abc import Mapping

_SLOW = 0.95  # share of a running mean that stays at each step
_LEAST = 0.2  # of what a head loses that knows nothing: what is learned already is not blown up


class LossBalance:
    """Divides each loss by its own running mean, so that each head moves the trunk by what its weight says.

    The gradient is then that of the sum of the logarithms of the losses, which does not depend on their units.
    Sources: Chennupati et al., MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for
    Multi-Task Learning, 2019, section 3.2; Liu et al., Towards Impartial Multi-task Learning, 2021, section 3.2.
    """

    def __init__(self) -> None:
        self._mean: dict[str, float] = {}
        self._first: dict[str, float] = {}

    def scale(self, name: str, loss: float, chance: float = 0.0) -> float:
        """What a loss of this value is to be multiplied by, its running mean moved on.

        chance: the loss of a head that knows nothing, where that is not its first one.
        """
        size = abs(loss)
        if name not in self._mean:
            self._mean[name], self._first[name] = size, max(size, chance)
        self._mean[name] = _SLOW * self._mean[name] + (1 - _SLOW) * size
        return 1 / max(self._mean[name], _LEAST * self._first[name], 1e-8)

    def state(self) -> dict[str, dict[str, float]]:
        """For a checkpoint."""
        return {"mean": dict(self._mean), "first": dict(self._first)}

    def load(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """From a checkpoint."""
        self._mean, self._first = dict(state["mean"]), dict(state["first"])
