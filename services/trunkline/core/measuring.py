"""What it takes to measure a head on data: `heads/<task>/measure.py` defines a class `Measure` of this shape.

It needs no torch. Tasks without one are measured by their `Learner`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trunkline.core.results import Result

Ask = Callable[[Sequence[Any]], Sequence[Result]]


@dataclass(frozen=True)
class Known:
    """Of a head that is measured: classes, or targets with their units and whether they are angles; settings."""

    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    angles: tuple[bool, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


class Measure(Protocol):
    """How one task is measured."""

    def __init__(self, known: Known) -> None: ...

    def params(self) -> dict[str, Any]:
        """With which parameters the head is asked."""
        ...

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> Any:
        """Scores, with `metrics()`, on samples of a data set; `ask` answers for any of its samples."""
        ...
