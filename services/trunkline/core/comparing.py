"""How alike two embeddings are: the one place that says so."""

import math

import numpy as np

from trunkline.core.errors import InvalidRequestError, SpaceMismatchError
from trunkline.core.results import Calibration, Comparison, Embedding


def compare(first: Embedding, second: Embedding) -> Comparison:
    """By the calibration of the first, or else of the second. Only the directions of the vectors count.

    Raises SpaceMismatchError that names both spaces, InvalidRequestError for a vector of another length or without a
    direction.
    """
    if first.space != second.space:
        raise SpaceMismatchError.between(first.space, second.space)
    one, other = _direction(first), _direction(second)  # (D,) each
    if len(one) != len(other):
        raise InvalidRequestError(f"a vector of space {first.space!r} has {len(one)} values, not {len(other)}")
    # Not from the cosine, whose rounding would be a distance of 1e-8 between equal vectors.
    distance = float(np.linalg.norm(one - other))
    similarity = min(1.0, max(-1.0, float(one @ other)))
    calibration = first.calibration or second.calibration
    if calibration is None:
        return Comparison(first.space, distance, similarity)
    return Comparison(
        first.space,
        distance,
        similarity,
        probability(calibration, distance),
        calibration.threshold,
        distance <= calibration.threshold,
    )


def probability(calibration: Calibration, distance: float) -> float:
    """That both show the same thing, 0 to 1."""
    weight = min(700.0, max(-700.0, calibration.slope * distance + calibration.offset))  # what exp can bear
    return 1 / (1 + math.exp(-weight))


def _direction(embedding: Embedding) -> np.ndarray:
    """float64 (D,) of length 1."""
    values = np.array(embedding.values, np.float64)
    length = float(np.linalg.norm(values))
    if not 0 < length < math.inf:
        raise InvalidRequestError("the vector has no direction: give finite values that are not all 0")
    return np.asarray(values / length)
