"""The masks of labelme: a picture of one part of the picture, in base64 between its other values."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.masks import decode_values
from trunkline.training.data.outlines import PatchRuns, extent
from trunkline.training.data.remarks import Kind
from trunkline.training.data.shapes import Shapes


def add_mask(name: str, shape: Mapping[str, Any], points: Sequence[float] | None, shapes: Shapes) -> None:
    """points: the top-left and the bottom-right pixel of the part, x, y, x, y."""
    if shape.get("mask") is None:
        shapes.leave_out(Kind.SHAPE, name, "it is a mask without pixels")
        return
    if points is None:
        return
    try:
        values = _values(shape.get("mask"))
    except DataInvalidError as error:
        shapes.leave_out(Kind.OUTLINE, name, error.message)
        return
    left, top = (round(value) for value in points[:2])
    height, width = values.shape
    inside = min(left, top) >= 0 and left + width <= shapes.size[0] and top + height <= shapes.size[1]
    sides = extent(values)
    if not inside or sides is None:
        shapes.leave_out(Kind.OUTLINE, name, "its mask sticks out of the picture" if sides else "its mask is empty")
        return
    x_min, y_min, x_max, y_max = sides
    box = Box(left + x_min, top + y_min, left + x_max, top + y_max)
    mask = PatchRuns(*shapes.size, left, top, width, height, _runs(values))
    shapes.mask(shape.get("label"), name, box, mask)


def _values(given: Any) -> np.ndarray:
    """bool (H, W). Raises DataInvalidError."""
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise DataInvalidError("its mask is not an image in base64") from error
    _, values = decode_values(partial(bytes, data), "its mask")
    if values.ndim != 2:
        raise DataInvalidError("its mask has colours")
    return values > 0


def _runs(values: np.ndarray) -> tuple[int, ...]:
    """Run lengths of bool (H, W), rows first, background first."""
    flat = np.concatenate([[False], values.ravel(), [not values.ravel()[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(np.diff(ends, prepend=0).tolist())
