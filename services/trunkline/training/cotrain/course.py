"""What the joint training asks of a head: pictures, features, a loss. The three kinds know what the head is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

Features = Mapping[str, Tensor]  # float32 (N, C, H, W) or (N, C)


@dataclass(frozen=True)
class Batch:
    """features: those up to where the trunk begins, by name. truth: as the course takes it."""

    features: dict[str, Tensor]
    truth: Any


@dataclass(frozen=True)
class Measured:
    """A value of a metric on validation pictures."""

    metric: str
    value: float


class Course(Protocol):
    """One head of a joint training.

    wanted: features after the start of the trunk that it takes. share: pictures of a step. net: its own weights.
    chance: its loss where it knows nothing; 0 where it begins so.
    """

    chance: float
    name: str
    weight: float
    share: int
    wanted: tuple[str, ...]
    net: nn.Module

    def __len__(self) -> int:
        """How many pictures there are."""

    def groups(self) -> list[dict[str, Any]]:
        """Of its own weights, as torch's optimisers take them."""

    def chosen(self, count: int) -> Sequence[int] | None:
        """Indices of a batch, where the course chooses them itself; None for one picture after the other."""

    def batch(self, indices: list[int]) -> Batch: ...

    def loss(self, features: Features, truth: Any) -> Tensor:
        """Scalar, to be brought to one size with those of the others."""

    def held_back(self) -> int:
        """How many pictures there are for validation."""

    def held_back_batch(self, indices: list[int]) -> Batch: ...

    def measure(self) -> Any:
        """A torchmetrics metric to be updated with what `judged` gives."""

    def judged(self, features: Features, truth: Any) -> tuple[Any, Any]:
        """(answers, truth) for the metric."""

    @property
    def metric(self) -> str: ...


def split_at(names: Sequence[str], start: str, after: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what is stored, with the start last; what the trunk makes) of the features of a head."""
    before = tuple(name for name in names if name not in after and name != start)
    return (*before, start), tuple(name for name in names if name in after)


def in_order(names: Sequence[str], features: Features) -> list[Tensor]:
    return [features[name] for name in names]
