"""Several labels: which of the classes a picture shows, each by itself.

Training: a probability for each class by a sigmoid, and the score from which a class counts as there.
"""

from collections.abc import Sequence

import numpy as np

from trunkline.core.errors import ModelInvalidError

NO_THRESHOLD = 0.5  # where there was nothing to fit it on


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float (...) -> probabilities of the same shape."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def read_thresholds(settings: object, classes: int, where: object) -> np.ndarray:
    """float32 (classes,) of `settings.thresholds`. Raises ModelInvalidError where it is no list of as many shares."""
    if settings is None:
        return np.full(classes, NO_THRESHOLD, np.float32)
    good = isinstance(settings, list) and len(settings) == classes
    if not good or not all(isinstance(each, int | float) and 0 <= each <= 1 for each in settings):  # type: ignore[attr-defined]
        raise ModelInvalidError(f"{where}: settings.thresholds are {classes} numbers from 0 to 1, one for each label")
    return np.array(settings, np.float32)


def best_thresholds(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """scores float (N, K), truth bool (N, K) -> float64 (K,): from which score on each class has the largest F1.

    Between two scores their middle; of a class that is in every picture half of its least score, so that only what is
    much less sure is left out; 0.5 for a class that is in no picture.
    Source: Lipton et al., Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014.
    """
    return np.array([_best(score, true) for score, true in zip(scores.T, truth.T, strict=True)])


def _best(scores: np.ndarray, truth: np.ndarray) -> float:
    """scores float (N,), truth bool (N,)"""
    positives = int(truth.sum())
    if not positives:
        return NO_THRESHOLD
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])  # (N,), of the best 1, 2, …
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + positives)
    ranked = scores[order]
    last = np.append(ranked[:-1] > ranked[1:], True)  # equal scores cannot be told apart
    at = int(np.argmax(np.where(last, f1, -1.0)))
    below = ranked[at + 1] if at + 1 < len(ranked) else 0.0
    return float((ranked[at] + below) / 2)


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """scores float (N,), truth bool (N,) -> the area below precision over recall, in steps; nan without a positive.

    Equal scores count together. Source: sklearn.metrics.average_precision_score, which gives the same.
    """
    positives = int(truth.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(truth[order]), scores[order]
    last = np.append(ranked[:-1] > ranked[1:], True)
    recall = hits[last] / positives
    precision = hits[last] / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def f1_of(answered: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """bool (N, K) each -> float64 (K,); nan for a class that is neither answered nor there."""
    both, either = (answered & truth).sum(axis=0), answered.sum(axis=0) + truth.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * both / either)


def presence_of(labels: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """Indices of the classes of each picture -> bool (N, classes)."""
    found = np.zeros((len(labels), classes), bool)
    for row, each in zip(found, labels, strict=True):
        row[list(each)] = True
    return found
