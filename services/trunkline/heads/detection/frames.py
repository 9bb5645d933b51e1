"""Boxes from the frame of the model into that of the caller's picture."""

import numpy as np

from trunkline.core.preprocess import Frame


def to_picture(boxes: np.ndarray, frame: Frame) -> np.ndarray:
    """float32 (n, 4) in pixels of the model input -> float64 (n, 4) in pixels of the caller's picture.

    Corners are x_min y_min x_max y_max. Nothing is cut off: boxes may reach beyond the picture.
    """
    scale = np.array([frame.x_scale, frame.y_scale] * 2)  # (4,)
    offset = np.array([frame.x_offset, frame.y_offset] * 2)  # (4,)
    return np.asarray(boxes.astype(np.float64) * scale + offset)


def clip(boxes: np.ndarray, frame: Frame) -> np.ndarray:
    """float64 (n, 4) in pixels of the caller's picture -> float32 (n, 4), the part of each inside of the picture."""
    size = np.array([frame.image_width, frame.image_height] * 2)  # (4,)
    return np.asarray(np.clip(boxes, 0, size), np.float32)


def has_area(boxes: np.ndarray) -> np.ndarray:
    """float (n, 4) -> bool (n,)"""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
