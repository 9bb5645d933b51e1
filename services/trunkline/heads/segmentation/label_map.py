"""What a label map is made of: probabilities and parts of it."""

from dataclasses import dataclass

import numpy as np

from trunkline.core.preprocess import Frame

IGNORED = 255  # label of pixels of which nothing is known


@dataclass(frozen=True)
class Strip:
    """Some rows of a picture. labels: uint8 (H, W). confidence: float32 (H, W), the probability of that label."""

    labels: np.ndarray
    confidence: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (K, h, w) -> float32 (K, h, w), a sum of 1 over the classes."""
    powers = np.exp(logits - logits.max(axis=0))  # (K, h, w)
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def in_frame(labels: np.ndarray, frame: Frame) -> np.ndarray:
    """uint8 (H, W) of the caller's picture -> uint8 (h, w) of the model input: nearest, IGNORED outside."""
    y = np.floor((np.arange(frame.input_height) + 0.5) * frame.y_scale + frame.y_offset).astype(np.int64)
    x = np.floor((np.arange(frame.input_width) + 0.5) * frame.x_scale + frame.x_offset).astype(np.int64)
    inside = ((y >= 0) & (y < labels.shape[0]))[:, None] & ((x >= 0) & (x < labels.shape[1]))  # (h, w)
    seen = labels[y.clip(0, labels.shape[0] - 1)[:, None], x.clip(0, labels.shape[1] - 1)]
    return np.where(inside, seen, np.uint8(IGNORED))
