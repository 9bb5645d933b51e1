"""What classifications with several labels are worth: average precision and F1 of each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trunkline.core.results import Classification
from trunkline.heads.classification.several import average_precision, f1_of

_NAMED = 3  # classes in a caption


@dataclass(frozen=True)
class SeveralScores:
    """truth: bool (N, K), which classes are there. scores: float64 (N, K). thresholds: float64 (K,)."""

    truth: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, answers: Sequence[Classification], truth: np.ndarray, classes: Sequence[str], thresholds: np.ndarray
    ) -> "SeveralScores":
        scores = np.zeros(truth.shape)
        for row, answer in zip(scores, answers, strict=True):
            for label in answer.labels:
                row[label.index] = label.score
        return cls(truth, scores, thresholds, tuple(classes))

    @property
    def answered(self) -> np.ndarray:
        """bool (N, K)"""
        return np.asarray(self.scores >= self.thresholds)

    @property
    def precisions(self) -> np.ndarray:
        """float64 (K,): average precision; nan for a class that no picture has."""
        return np.array([average_precision(*pair) for pair in zip(self.scores.T, self.truth.T, strict=True)])

    def metrics(self) -> dict[str, float]:
        """map and f1, means over the classes that are there, and exact_accuracy, of whole sets; 0 to 1."""
        there = self.truth.any(axis=0)
        return {
            "map": float(self.precisions[there].mean()),
            "f1": float(f1_of(self.answered, self.truth)[there].mean()),
            "exact_accuracy": float((self.answered == self.truth).all(axis=1).mean()),
        }

    def card(self) -> str:
        counts, f1 = self.truth.sum(axis=0), f1_of(self.answered, self.truth)  # (K,) each
        rows = "\n".join(
            f"| {name} | {count} | {100 * precision:.1f} % | {100 * share:.1f} % | {threshold:.2f} |"
            for name, count, precision, share, threshold in zip(
                self.classes, counts, self.precisions, f1, self.thresholds, strict=True
            )
            if count
        )
        head = "| class | pictures with it | average precision | F1 | threshold |\n| --- | --- | --- | --- | --- |"
        return f"{head}\n{rows}"

    def draw(self, folder: Path) -> list[str]:
        """precision.png: a bar for each class."""
        from matplotlib.figure import Figure

        there = np.flatnonzero(self.truth.any(axis=0))
        figure = Figure(figsize=(6, min(14.0, 1.5 + 0.25 * len(there))), layout="constrained")
        axes = figure.subplots()
        axes.barh([self.classes[place] for place in there], self.precisions[there])
        axes.set(xlabel="average precision", xlim=(0, 1))
        axes.invert_yaxis()
        figure.savefig(folder / "precision.png", dpi=100)
        return ["precision.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """By how many classes are right, of several by how sure."""
        right = (self.answered == self.truth).mean(axis=1)
        off = np.abs(self.scores - self.truth).mean(axis=1)
        order = np.lexsort((off, -right)).tolist()
        return order[:count], order[::-1][:count]

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """As it is: the answer has no place in it."""
        return picture

    def caption(self, index: int) -> str:
        found, missed = self._named(self.answered[index]), self._named(self.truth[index] & ~self.answered[index])
        return f"{found or 'none'}\nmissed: {missed}" if missed else found or "none"

    def _named(self, chosen: np.ndarray) -> str:
        names = [self.classes[place] for place in np.flatnonzero(chosen)]
        return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
