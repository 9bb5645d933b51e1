"""What heads answer, as plain values. Boxes and masks are in the caller's picture, upright after EXIF."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Result:
    """What a head answers about a picture: the type of its task (`heads/<task>/task.py`), or Custom."""


@dataclass(frozen=True)
class ScoredLabel:
    """A class of the head's label list with its probability, 0 to 1."""

    index: int
    label: str
    score: float


@dataclass(frozen=True)
class Classification(Result):
    """The most probable classes, best first.

    known: probability that the picture is like those that the head learned from; None where the head cannot tell.
    parents: of a head whose classes have some, the most probable one of each level, the most general one last.
    """

    labels: tuple[ScoredLabel, ...]
    known: float | None = None
    parents: tuple[ScoredLabel, ...] = ()


@dataclass(frozen=True)
class Quantity:
    """One estimate with its unit ("" for a pure number)."""

    name: str
    value: float
    unit: str = ""


@dataclass(frozen=True)
class Regression(Result):
    """One estimate for each target of the head."""

    values: tuple[Quantity, ...]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; (0, 0) is the outer corner of the top-left pixel."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True)
class RunLengthMask:
    """A mask as COCO compressed run lengths (columns first, background first)."""

    width: int
    height: int
    counts: str


@dataclass(frozen=True)
class Detection:
    """One object: where, what, and its outline where the head gives one."""

    box: Box
    label: ScoredLabel
    mask: RunLengthMask | None = None


@dataclass(frozen=True)
class Detections(Result):
    """Objects in falling order of score; empty where there is nothing."""

    objects: tuple[Detection, ...]


@dataclass(frozen=True)
class SegmentClass:
    """One class of a segmentation: share of the picture and mean probability, both 0 to 1."""

    index: int
    label: str
    area: float
    confidence: float
    mask: RunLengthMask | None = None


@dataclass(frozen=True)
class Segmentation(Result):
    """A class for every pixel: an indexed PNG and the classes that occur, largest first.

    confidence_map_png: 8-bit gray, 255 for a probability of 1. A PNG that was not asked for is b"".
    """

    label_map_png: bytes
    classes: tuple[SegmentClass, ...]
    confidence_map_png: bytes = b""


@dataclass(frozen=True)
class Calibration:
    """What Euclidean distances between the unit vectors of a space mean, as fitted on classes never trained on.

    P(same) = 1 / (1 + exp(-(slope * distance + offset))), where same and different are equally likely beforehand.
    Up to `threshold` two pictures count as the same.
    """

    threshold: float
    slope: float
    offset: float


@dataclass(frozen=True)
class Embedding(Result):
    """An L2-normalised vector and the id of its space; vectors of different spaces must not be compared.

    calibration: of the space, where the head was calibrated.
    """

    space: str
    values: tuple[float, ...]
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Comparison:
    """How alike two vectors of a space are: Euclidean distance, 0 to 2, and cosine similarity, -1 to 1.

    probability, threshold, same: that they show the same thing, by the calibration; None without one.
    """

    space: str
    distance: float
    similarity: float
    probability: float | None = None
    threshold: float | None = None
    same: bool | None = None


@dataclass(frozen=True)
class Custom(Result):
    """The answer of a head whose task has no type of its own: JSON values."""

    fields: Mapping[str, Any]
