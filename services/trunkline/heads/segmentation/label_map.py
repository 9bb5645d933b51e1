"""Scores in the frame of the model to a label map in the frame of the caller's picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trunkline.core.preprocess import Frame

IGNORED = 255  # label of pixels of which nothing is known
_AT_ONCE = 4_000_000  # pixels: a large picture is filled in stripes


@dataclass(frozen=True)
class LabelMap:
    """labels: uint8 (H, W). confidence: float32 (H, W), the probability of that label, 0 to 1."""

    labels: np.ndarray
    confidence: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (K, h, w) -> float32 (K, h, w), a sum of 1 over the classes."""
    powers = np.exp(logits - logits.max(axis=0))  # (K, h, w)
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def label_map(probabilities: np.ndarray, frame: Frame) -> LabelMap:
    """float32 (K, h, w) over the whole model input -> the best class of every pixel of the caller's picture.

    Probabilities are interpolated (bilinear), then compared, so that edges are smooth at any size.
    """
    width, height = frame.image_width, frame.image_height
    labels = np.empty((height, width), np.uint8)
    confidence = np.empty((height, width), np.float32)
    # A mean of values below 1/K is below 1/K, and the best class never is: such a class wins nowhere.
    least = 1 / len(probabilities)
    rivals = [index for index, plane in enumerate(probabilities) if plane.max() >= least]
    planes = [Image.fromarray(probabilities[index]) for index in rivals]  # mode F
    rows = max(1, _AT_ONCE // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        box = _box(frame, probabilities.shape[1:], top, bottom)
        stripe = [
            np.asarray(plane.resize((width, bottom - top), Image.Resampling.BILINEAR, box=box)) for plane in planes
        ]
        _best(stripe, rivals, labels[top:bottom], confidence[top:bottom])
    return LabelMap(labels, confidence)


def _best(stripe: list[np.ndarray], rivals: list[int], labels: np.ndarray, confidence: np.ndarray) -> None:
    """Fill in the largest of the planes (H, W) and whose it is."""
    confidence[...] = stripe[0]
    labels[...] = rivals[0]
    for index, plane in zip(rivals[1:], stripe[1:], strict=True):
        better = plane > confidence  # (H, W)
        confidence[better] = plane[better]
        labels[better] = index


def _box(frame: Frame, shape: tuple[int, ...], top: int, bottom: int) -> tuple[float, float, float, float]:
    """Rows top to bottom of the caller's picture, in the cells of a map of this shape (h, w)."""
    per_y, per_x = shape[0] / frame.input_height, shape[1] / frame.input_width
    left, right = ((x - frame.x_offset) / frame.x_scale * per_x for x in (0, frame.image_width))
    above, below = ((y - frame.y_offset) / frame.y_scale * per_y for y in (top, bottom))
    return max(0.0, left), max(0.0, above), min(float(shape[1]), right), min(float(shape[0]), below)


def in_frame(labels: np.ndarray, frame: Frame) -> np.ndarray:
    """uint8 (H, W) of the caller's picture -> uint8 (h, w) of the model input: nearest, IGNORED outside."""
    y = np.floor((np.arange(frame.input_height) + 0.5) * frame.y_scale + frame.y_offset).astype(np.int64)
    x = np.floor((np.arange(frame.input_width) + 0.5) * frame.x_scale + frame.x_offset).astype(np.int64)
    inside = ((y >= 0) & (y < labels.shape[0]))[:, None] & ((x >= 0) & (x < labels.shape[1]))  # (h, w)
    seen = labels[y.clip(0, labels.shape[0] - 1)[:, None], x.clip(0, labels.shape[1] - 1)]
    return np.where(inside, seen, np.uint8(IGNORED))
