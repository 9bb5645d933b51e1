"""On what a head was measured, so that two versions can be compared."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from trunkline.core.tasks import metric_named


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


_ROUNDING = 1e-9


def points_lost(main: Mapping[str, float], other: Mapping[str, float]) -> float:
    """How much worse `other` is than `main`, by the figure that lost most; 0 where none did.

    A point is a hundredth: of the whole for shares, of the value of `main` for figures in a unit. Raises ValueError
    for a figure that `other` lacks, and for NaN.
    """
    missing = [name for name in main if name not in other]
    if missing:
        raise ValueError(f"the figure {missing[0]} is missing")
    lost = [metric_named(name).points_lost(value, other[name]) for name, value in main.items()]
    if not all(map(math.isfinite, lost)):
        raise ValueError("a figure is no finite number")
    return max([0.0, *(each for each in lost if each > _ROUNDING)])
