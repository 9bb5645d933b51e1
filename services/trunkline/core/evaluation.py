"""On what a head was measured, so that two versions can be compared, and which number decides."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Evaluation(BaseModel):
    """The samples that the metrics of a manifest were measured on. `digest`: see evaluation_digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    split: str
    count: Annotated[int, Field(ge=1)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def evaluation_digest(samples: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over the name and the bytes of every sample; the order in which they come does not matter."""
    parts = sorted((name.encode(), hashlib.sha256(data).digest()) for name, data in samples)
    total = hashlib.sha256()
    for name, digest in parts:
        total.update(len(name).to_bytes(8, "big") + name + digest)
    return total.hexdigest()


@dataclass(frozen=True)
class Metric:
    """A number that two versions are compared by.

    `relative`: a margin is a share of the incumbent's value, for metrics in a unit of their own; otherwise it is
    a difference, for metrics from 0 to 1.
    """

    name: str
    higher_is_better: bool
    relative: bool = False

    def no_worse(self, candidate: float, incumbent: float, margin: float) -> bool:
        """Whether the candidate is worse than the incumbent by no more than `margin`; never for NaN."""
        allowed = (abs(incumbent) * margin if self.relative else margin) + _ROUNDING
        if self.higher_is_better:
            return candidate >= incumbent - allowed
        return candidate <= incumbent + allowed


# A margin is written in decimals, which floats meet only nearly.
_ROUNDING = 1e-9
# The first one that both versions have decides.
METRICS = (
    Metric("accuracy", higher_is_better=True),
    Metric("mean_iou", higher_is_better=True),
    Metric("ap50", higher_is_better=True),
    Metric("auc", higher_is_better=True),
    Metric("rmse", higher_is_better=False, relative=True),
    Metric("mae", higher_is_better=False, relative=True),
)


def deciding_metric(first: Mapping[str, float], second: Mapping[str, float]) -> Metric | None:
    """The metric by which two versions are compared; None where they have none in common."""
    return next((metric for metric in METRICS if metric.name in first and metric.name in second), None)
