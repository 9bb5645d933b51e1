"""What another process sent to heads, checked before one works on it."""

import math
from collections.abc import Mapping

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import MOST_PIXELS, Frame

_LONGEST = 65_535  # side of a picture that is decoded at all


def checked_features(features: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The same. Raises InvalidRequestError where one is not of one picture: a batch axis of 1, and no other of 0."""
    for name, array in features.items():
        if not array.ndim or array.shape[0] != 1 or not array.size:
            raise InvalidRequestError(f"feature {name!r} has shape {array.shape}: send those of one image, (1, …)")
    return features


def checked_frame(frame: Frame, max_pixels: int) -> Frame:
    """The same. Raises InvalidRequestError for one that no picture has.

    max_pixels: limit on width times height of the caller's picture.
    """
    width, height = frame.image_width, frame.image_height
    if not (1 <= width <= _LONGEST and 1 <= height <= _LONGEST and width * height <= max_pixels):
        raise InvalidRequestError(
            f"a frame of a picture of {width}x{height} pixels; at most {max_pixels} are allowed"
        )
    inputs = (frame.input_width, frame.input_height)
    if min(inputs) < 1 or inputs[0] * inputs[1] > MOST_PIXELS:
        raise InvalidRequestError(f"an input of {inputs[0]}x{inputs[1]}; at most {MOST_PIXELS} pixels are allowed")
    _check_axis(width, frame.x_scale, frame.x_offset, inputs[0])
    _check_axis(height, frame.y_scale, frame.y_offset, inputs[1])
    return frame


def _check_axis(image: int, scale: float, offset: float, size: int) -> None:
    """`image` and `size` are the lengths of the picture and of the input along the axis, pixels."""
    if not (math.isfinite(scale) and math.isfinite(offset) and 0 < scale <= _LONGEST):
        raise InvalidRequestError(f"a frame has scale {scale:g} and offset {offset:g}, which is not valid")
    if not (offset < image and offset + size * scale > 0):
        raise InvalidRequestError("a frame shows nothing of its picture")
