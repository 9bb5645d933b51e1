"""Sorting pictures to classes of which few examples are known, by the nearest mean embedding.

Source: Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017, section 2. All vectors are
unit vectors, float32; means are made unit vectors again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WAYS = 20
_EPISODES = 400


@dataclass(frozen=True)
class Run:
    """A published one-shot test: support (N, D), queries (Q, D), truth int64 (Q,), the index into the support."""

    support: np.ndarray
    queries: np.ndarray
    truth: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool (Q,)"""
        return np.asarray((self.queries @ self.support.T).argmax(axis=1) == self.truth)


def runs_accuracy(runs: Sequence[Run]) -> float:
    """Over the queries of all runs."""
    return float(np.concatenate([run.right for run in runs]).mean())


def means(vectors: np.ndarray, truth: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(N, D), int64 (N,), int64 (P,) -> (P, D): the mean of each class as a unit vector."""
    found = np.stack([vectors[truth == label].mean(axis=0) for label in classes])
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def mean_embedding_accuracy(
    vectors: np.ndarray, truth: np.ndarray, reference: np.ndarray, reference_truth: np.ndarray
) -> float:
    """Share of the vectors that are nearest to the mean of their own class, among those of the reference."""
    classes = np.unique(reference_truth)
    nearest = classes[(vectors @ means(reference, reference_truth, classes).T).argmax(axis=1)]
    return float((nearest == truth).mean())


def few_shot_accuracy(vectors: np.ndarray, truth: np.ndarray, shots: int) -> float | None:
    """Over 400 random episodes, the same each time: up to 20 classes, `shots` examples of each, one query of each.

    None where fewer than two classes have enough pictures.
    """
    members = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    members = [each for each in members if len(each) > shots]
    if len(members) < 2:
        return None
    random, ways = np.random.default_rng(0), min(WAYS, len(members))
    right = [_episode(vectors, members, shots, ways, random) for _ in range(_EPISODES)]
    return float(np.concatenate(right).mean())


def _episode(
    vectors: np.ndarray, members: Sequence[np.ndarray], shots: int, ways: int, random: np.random.Generator
) -> np.ndarray:
    """bool (ways,)"""
    classes = random.choice(len(members), ways, replace=False)
    drawn = np.stack([random.choice(members[place], shots + 1, replace=False) for place in classes])  # (W, shots + 1)
    labels = np.repeat(np.arange(ways), shots)
    support = means(vectors[drawn[:, 1:]].reshape(ways * shots, -1), labels, np.arange(ways))
    return Run(support, vectors[drawn[:, 0]], np.arange(ways)).right
