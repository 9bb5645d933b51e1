"""Coordinates of points as files give them: which are known, and which say nothing."""

import math
from collections.abc import Sequence
from typing import Final

from trunkline.training.data.boxes import Size
from trunkline.training.data.points import Place
from trunkline.training.data.remarks import Kind, Remarks

_FARTHEST: Final = 1.0  # sides of the picture that a point may lie outside of it
_UNKNOWN, _HIDDEN, _SEEN = 0, 1, 2


def place_of(label: int, values: Sequence[float], size: Size, where: str, remarks: Remarks) -> Place | None:
    """(x, y, visibility) in pixels -> where the point is, None where that is not known.

    visibility: 0 for a point that nobody labelled, 1 for a hidden one, 2 for one that is seen. A point that lies
    farther outside than a side of the picture, or has another visibility, is read as unknown, with a remark.
    """
    x, y, visibility = values
    if visibility == _UNKNOWN:
        return None
    if visibility not in (_HIDDEN, _SEEN):
        remarks.read(Kind.POINT, where, f"visibility of point {label + 1} is none of 0, 1, 2: read as not labelled")
        return None
    if not all(_is_near(value, side) for value, side in zip((x, y), size, strict=True)):
        remarks.read(Kind.POINT, where, f"point {label + 1} lies far outside of the picture: read as not labelled")
        return None
    return Place(label, x, y, visibility == _SEEN)


def _is_near(value: float, side: int) -> bool:
    return math.isfinite(value) and -_FARTHEST * side <= value <= (1 + _FARTHEST) * side
