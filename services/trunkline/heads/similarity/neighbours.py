"""The nearest other pictures of each picture."""

import numpy as np

_AT_ONCE = 1024


def nearest_others(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (N, D) -> int64 (N, count), nearest first, and their cosine similarities float32 (N, count)."""
    found, alike = [], []
    for start in range(0, len(vectors), _AT_ONCE):
        part = np.arange(start, min(start + _AT_ONCE, len(vectors)))
        similarity = vectors[part] @ vectors.T  # (part, N)
        similarity[np.arange(len(part)), part] = -np.inf
        best = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(similarity, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        found.append(best)
        alike.append(np.take_along_axis(similarity, best, axis=1))
    return np.concatenate(found), np.concatenate(alike)
