"""Boxes and outlines as data gives them: what fits the picture, what is mended, and what is left out."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from trunkline.core.results import Box
from trunkline.training.data.remarks import Kind, Remarks

_TOLERATED: Final = 1.0  # pixels that a box or an outline may stick out, as rounding makes them
_ROUNDING: Final = 0.01  # pixels that are not worth a word
_FEWEST_POINTS, _MOST_POINTS = 3, 100_000
_LONGEST_RIM: Final = 4_000_000  # pixels

Size = tuple[int, int]  # (width, height)


def fitted_box(box: Box, size: Size, where: str, remarks: Remarks) -> Box | None:
    """The box inside of a picture of this size. What sticks out by a pixel or less is cut off, with a remark.

    None, and the object is left out, for a box without an area, with a side that is no number, or that sticks out
    further.
    """
    sides = (box.x_min, box.y_min, box.x_max, box.y_max)
    if not all(map(math.isfinite, sides)):
        remarks.leave_out("object", Kind.BOX, where, "the box has a side that is no number")
        return None
    if box.x_max <= box.x_min or box.y_max <= box.y_min:
        remarks.leave_out("object", Kind.BOX, where, "the box has no area")
        return None
    width, height = size
    inside = Box(max(box.x_min, 0.0), max(box.y_min, 0.0), min(box.x_max, width), min(box.y_max, height))
    out = max(-box.x_min, -box.y_min, box.x_max - width, box.y_max - height)
    if out > _TOLERATED or inside.x_max <= inside.x_min or inside.y_max <= inside.y_min:
        remarks.leave_out("object", Kind.BOX, where, "the box lies outside of the picture")
        return None
    if out > _ROUNDING:
        remarks.read(Kind.BOX_CUT, where, f"the box sticks out of the picture by {out:.2g} pixels, which are cut off")
    return inside


def outline_fault(lines: Sequence[Sequence[float]], size: Size) -> str:
    """What is wrong with closed lines (x, y, x, y, …) in pixels of a picture of this size; "" where nothing is."""
    width, height = size
    rim = 0.0
    for line in lines:
        if len(line) % 2:
            return f"a polygon has {len(line)} numbers, which make no pairs of x and y"
        if len(line) > 2 * _MOST_POINTS:
            return f"a polygon has {len(line) // 2} points; {_MOST_POINTS} is the most"
        if len(line) < 2 * _FEWEST_POINTS:
            return f"a polygon has {len(line) // 2} points; {_FEWEST_POINTS} is the least"
        if not all(map(math.isfinite, line)):
            return "a polygon has a coordinate that is not a number"
        least = min(line)
        if least < -_TOLERATED or max(line[::2]) > width + _TOLERATED or max(line[1::2]) > height + _TOLERATED:
            return "a polygon lies outside of the picture"
        rim += _rim(line)
    # What it takes to fill a polygon grows with the length of its rim.
    return "" if rim <= _LONGEST_RIM else f"the polygons have a rim of more than {_LONGEST_RIM} pixels"


def _rim(line: Sequence[float]) -> float:
    """Pixels along the closed line, each step by its longer side."""
    points = np.asarray(line, np.float64).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())


def box_around(line: Sequence[float]) -> Box:
    """The box of a closed line (x, y, x, y, …)."""
    return Box(min(line[::2]), min(line[1::2]), max(line[::2]), max(line[1::2]))
