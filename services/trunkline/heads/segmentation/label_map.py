"""Scores in the frame of the model to a label map in the frame of the caller's picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trunkline.core.preprocess import Frame

IGNORED = 255  # label of pixels of which nothing is known
AT_ONCE = 4_000_000  # pixels that are held as whole planes


@dataclass(frozen=True)
class Strip:
    """Some rows of a picture. labels: uint8 (H, W). confidence: float32 (H, W), the probability of that label."""

    labels: np.ndarray
    confidence: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (K, h, w) -> float32 (K, h, w), a sum of 1 over the classes."""
    powers = np.exp(logits - logits.max(axis=0))  # (K, h, w)
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def label_map(probabilities: np.ndarray, frame: Frame) -> Strip:
    """float32 (K, h, w) over the whole model input -> the best class of every pixel of the caller's picture.

    Probabilities are interpolated (bilinear), then compared, so that edges are smooth at any size. Holds planes of
    the whole picture: for one of at most AT_ONCE pixels.
    """
    size = (frame.image_width, frame.image_height)
    box = box_of(frame, probabilities.shape[1:], 0, frame.image_height)
    first, *others = rivals_of(probabilities, 1 / len(probabilities))
    confidence = _resized(probabilities[first], size, box).copy()
    labels = np.full(confidence.shape, first, np.uint8)
    for index in others:
        plane = _resized(probabilities[index], size, box)  # (H, W)
        better = plane > confidence
        np.copyto(confidence, plane, where=better)
        labels[better] = index
    return Strip(labels, confidence)


def rivals_of(probabilities: np.ndarray, least: float) -> list[int]:
    """Of float32 (K, h, w), the classes that may win somewhere.

    A mean of values below 1/K, `least`, is below 1/K, and the best class never is: such a class wins nowhere.
    """
    return [index for index, plane in enumerate(probabilities) if plane.max() >= least]


def _resized(plane: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR, box=box))  # mode F


def box_of(frame: Frame, shape: tuple[int, ...], top: int, bottom: int) -> tuple[float, float, float, float]:
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
