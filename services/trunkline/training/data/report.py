"""What a check of a data set found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.training.data.remarks import Kind, Part, Remark, summary_of


@dataclass(frozen=True)
class Broken:
    """A picture that cannot be read, or whose mask or object cannot, and why; there may be several of a picture."""

    name: str
    reason: str


@dataclass(frozen=True)
class Duplicate:
    """Samples of the same bytes; names, splits and truths (class, or targets) are in the same order."""

    names: tuple[str, ...]
    splits: tuple[str, ...]
    truths: tuple[str, ...]

    @property
    def across_splits(self) -> bool:
        return len(set(self.splits)) > 1

    @property
    def contradicts(self) -> bool:
        """Whether the same picture has different labels or targets."""
        return len(set(self.truths)) > 1


@dataclass(frozen=True)
class TargetRange:
    """Values of a target over all splits."""

    name: str
    least: float
    mean: float
    greatest: float


@dataclass(frozen=True)
class DataReport:
    """splits: pictures by split, "" where none is given. classes: the same for each class, in their order.

    few: classes with fewer than five pictures for training. unbalance: the largest class for training over the
    smallest; None in regression, and where a class has none. objects: of each class by split, {} where the data has
    no boxes. A job fails on problems; warnings are for people. remarks: what was read otherwise than it stands there,
    or left out; of each kind the first 1,000, remark_counts says how many there are. left_out: objects and pictures.
    All counts are of what is left.
    """

    root: Path
    layout: str
    splits: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    targets: tuple[TargetRange, ...]
    broken: tuple[Broken, ...]
    duplicates: tuple[Duplicate, ...]
    few: tuple[str, ...]
    unbalance: float | None
    skipped: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    objects: Mapping[str, Mapping[str, int]]
    remarks: tuple[Remark, ...] = ()
    remark_counts: Mapping[Kind, int] = field(default_factory=dict)
    left_out: Mapping[Part, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Such as "12 remarks, 3 objects and 1 picture left out"."""
        return summary_of(sum(self.remark_counts.values()), self.left_out)
