"""The wrapped graph against the file as it came, on the same picture."""

import numpy as np

from trunkline.core.errors import ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import Pixels
from trunkline.serving.session import OnnxSession
from trunkline.training.imported.ultralytics_file import Layout
from trunkline.training.imported.wrap import BOXES, SCORES

RUN_S = 30.0  # the longest that a detector may take for a picture; large ones take 5 s on a core
_TOLERANCE = 1e-3  # of the largest value, at least of 1


def difference(plain: OnnxSession, session: OnnxSession, picture: Pixels, layout: Layout) -> float:
    """Largest difference between the outputs of the head and those of the file, decoded by numpy; relative.

    picture: uint8 (1, H, W, C). Raises ModelInvalidError where it is above 1e-3, or a value is no finite number.
    """
    planes = np.ascontiguousarray(picture.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
    raw = plain.try_run({next(iter(plain.inputs)): planes}, within_s=RUN_S)[plain.outputs[0]]
    found = session.try_run({IMAGE: picture}, within_s=RUN_S)
    wanted = _grid(raw) if layout == "grid" else _rows(raw, found[SCORES].shape[2])
    worst = 0.0
    for name, want in zip((BOXES, SCORES), wanted, strict=True):
        if not np.isfinite(found[name]).all():
            raise ModelInvalidError(f"the model gives {name} that are no finite numbers")
        off = float(np.abs(found[name] - want).max(initial=0)) / max(1.0, float(np.abs(want).max(initial=0)))
        worst = max(worst, off)
    if worst > _TOLERANCE:
        raise ModelInvalidError(f"the head gives other boxes than the file, by {worst:.2g}: nothing was written")
    if wanted[1].min(initial=0) < -_TOLERANCE or wanted[1].max(initial=0) > 1 + _TOLERANCE:
        raise ModelInvalidError("the scores of the model are no probabilities from 0 to 1")
    return worst


def _grid(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1, 4 + K, N) -> corners (1, N, 4), probabilities (1, N, K)"""
    centre, size = raw[:, :2].transpose(0, 2, 1), raw[:, 2:4].transpose(0, 2, 1)
    return np.concatenate([centre - size / 2, centre + size / 2], axis=2), raw[:, 4:].transpose(0, 2, 1)


def _rows(raw: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(1, N, 6) -> corners (1, N, 4), probabilities (1, N, K)"""
    labels = raw[..., 5].astype(np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ModelInvalidError(f"the model answers with class {labels.max()}, there are names for {classes}")
    return raw[..., :4], np.eye(classes, dtype=np.float32)[labels] * raw[..., 4:5]
