"""Vectors as they are kept and compared."""

import math
from collections.abc import Sequence

import numpy as np

from trunkline.core.errors import InvalidRequestError


def unit(values: Sequence[float] | np.ndarray, dimension: int) -> np.ndarray:
    """float32 (D,) of length 1. Raises InvalidRequestError for another length than D, or no direction."""
    vector = np.asarray(values, np.float64)
    if vector.shape != (dimension,):
        raise InvalidRequestError(f"the vector has {vector.size} values; those of this gallery have {dimension}")
    length = float(np.linalg.norm(vector))
    if not 0 < length < math.inf:
        raise InvalidRequestError("the vector has no direction: give finite values that are not all 0")
    return (vector / length).astype(np.float32)


def to_bytes(vector: np.ndarray) -> bytes:
    """float32 (D,) as it is stored."""
    return vector.astype("<f4").tobytes()


def from_bytes(stored: bytes) -> np.ndarray:
    """float32 (D,)."""
    return np.frombuffer(stored, "<f4")


def distances(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Euclidean, float64 (N,), between unit vectors (N, D) and one (D,).

    Not from the cosine, whose rounding would be a distance of 1e-4 between equal vectors.
    """
    return np.asarray(np.linalg.norm(vectors.astype(np.float64) - query.astype(np.float64), axis=1))
