"""What distances mean: a logistic curve from the distance of two pictures to a probability."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from trunkline.core.results import Calibration

MOST_PAIRS = 500_000
_WEAK = 1e6  # inverse of the regularisation: there is one slope, and many pairs


def pairs_of(truth: np.ndarray, most: int = MOST_PAIRS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of N samples once: int64 (M,) of the first, of the second; bool (M,) whether their classes agree.

    Where there are more than `most`, about so many of them at random, half of them of the same class as far as there
    are such ones; the same each time. truth: int64 (N,).
    """
    count = len(truth)
    if count * (count - 1) // 2 <= most:
        first, second = np.triu_indices(count, 1)
        return first, second, truth[first] == truth[second]
    random = np.random.default_rng(0)
    alike = np.concatenate([_within(np.flatnonzero(truth == label)) for label in np.unique(truth)])  # (S, 2)
    if len(alike) > most // 2:
        alike = alike[random.choice(len(alike), most // 2, replace=False)]
    chosen = random.integers(0, count, (most - len(alike), 2))
    chosen = chosen[truth[chosen[:, 0]] != truth[chosen[:, 1]]]
    both = np.concatenate([alike, chosen])
    return both[:, 0], both[:, 1], np.arange(len(both)) < len(alike)


def _within(members: np.ndarray) -> np.ndarray:
    """int64 (K,) -> (K * (K - 1) / 2, 2)"""
    first, second = np.triu_indices(len(members), 1)
    return np.stack([members[first], members[second]], axis=1)


def distances(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float32 (N, D) unit vectors, int64 (M,) twice -> Euclidean distances float64 (M,)."""
    found = np.empty(len(first))
    for start in range(0, len(first), 100_000):  # memory
        part = slice(start, start + 100_000)
        found[part] = np.linalg.norm(vectors[first[part]] - vectors[second[part]], axis=1)
    return found


def fit_calibration(away: np.ndarray, same: np.ndarray) -> Calibration | None:
    """Logistic regression with equal weight for same and different. away: distances (M,); same: bool (M,).

    None where there are not both kinds, or larger distances mean the same. The threshold is where both are equally
    likely. Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    if same.all() or not same.any():
        return None
    fitted = LogisticRegression(C=_WEAK, class_weight="balanced").fit(away[:, None], same)
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if not slope < 0:
        return None
    threshold = min(2.0, max(0.0, -offset / slope))
    return Calibration(round(threshold, 5), round(slope, 5), round(offset, 5))
