"""Plots of embeddings for a card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from trunkline.core.results import Calibration
from trunkline.heads.similarity.verification import Verification

_CLASSES, _POINTS = 20, 600  # more colours cannot be told apart, more points take long
_BEFORE = 30  # dimensions that t-SNE gets


def draw_verification(found: Verification, calibration: Calibration | None, path: Path) -> None:
    """The ROC curve, and the distances of same and of different pairs with the threshold."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    wrong, hits = found.curve()
    left.plot(wrong, hits)
    left.plot([0, 1], [1, 0], color="gray", linewidth=0.8, linestyle=":")
    left.set(
        xlabel="different pairs taken for the same",
        ylabel="same pairs found",
        title=f"AUC {found.auc:.4f}, equal error rate {found.eer:.4f}",
    )
    bins = np.linspace(0, 2, 81).tolist()
    for of, label in ((found.same, "same"), (~found.same, "different")):
        right.hist(found.away[of], bins=bins, density=True, alpha=0.6, label=label)
    if calibration is not None:
        right.axvline(calibration.threshold, color="black", linewidth=0.8, label="threshold")
    right.set(xlabel="distance", ylabel="density of pairs")
    right.legend(loc="upper left")  # a best place would be looked for among all points
    figure.savefig(path, dpi=100)


def draw_map(vectors: np.ndarray, truth: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """The first 20 classes in the plane, by t-SNE on the main directions; the same each time. vectors: (N, D)."""
    shown = np.unique(truth)[:_CLASSES]
    chosen = np.flatnonzero(np.isin(truth, shown))
    if len(chosen) > _POINTS:
        chosen = np.random.default_rng(0).choice(chosen, _POINTS, replace=False)
    points = _in_plane(vectors[chosen].astype(np.float64))  # (M, 2)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for place, label in enumerate(shown):
        here = points[truth[chosen] == label]
        axes.scatter(
            here[:, 0], here[:, 1], s=14, color=f"C{place % 10}", marker="o^"[place // 10], label=classes[label]
        )
    axes.set(xticks=[], yticks=[], title="the embedding in the plane (t-SNE)")
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=100)


def _in_plane(vectors: np.ndarray) -> np.ndarray:
    """(M, D) -> (M, 2)"""
    parts = min(_BEFORE, *vectors.shape)
    main = PCA(parts, svd_solver="full").fit_transform(vectors)
    if len(vectors) < 10:
        return np.asarray(main[:, :2]) if parts > 1 else np.repeat(main, 2, axis=1)
    return np.asarray(TSNE(perplexity=min(30.0, (len(vectors) - 1) / 3), random_state=0).fit_transform(main))
