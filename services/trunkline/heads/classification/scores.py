"""What classifications are worth: shares of right answers, the confusion matrix, a table by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from trunkline.core.results import Classification
from trunkline.heads.classification.task import HALF, level_metric

_NAMED_CLASSES = 40  # more names than this cannot be read beside a matrix
_TOP = 5


@dataclass(frozen=True)
class ClassificationScores:
    """truth: int64 (N,); ranked: int64 (N, k), class indices best first; scores: float64 (N,) of the first.

    parents_right: bool (N,) for each level above the classes. refused: share of the pictures called unknown; None
    where the head does not tell.
    """

    truth: np.ndarray
    ranked: np.ndarray
    scores: np.ndarray
    classes: tuple[str, ...]
    parents_right: tuple[np.ndarray, ...] = ()
    refused: float | None = None

    @classmethod
    def of(
        cls,
        answers: Sequence[Classification],
        truth: np.ndarray,
        classes: Sequence[str],
        parents: Sequence[Sequence[str]] = (),
    ) -> Self:
        ranked = [[label.index for label in answer.labels[:_TOP]] for answer in answers]
        top = [answer.labels[0].score for answer in answers]
        right = tuple(
            np.array(
                [answer.parents[level].label == above[place] for answer, place in zip(answers, truth, strict=True)]
            )
            for level, above in enumerate(parents)
        )
        known = [answer.known for answer in answers if answer.known is not None]
        refused = float(np.mean(np.array(known) < HALF)) if known else None
        return cls(truth, np.array(ranked, np.int64), np.array(top), tuple(classes), right, refused)

    @property
    def right(self) -> np.ndarray:
        """bool (N,)"""
        return np.asarray(self.ranked[:, 0] == self.truth)

    @property
    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): true class by answered class."""
        matrix = np.zeros((len(self.classes), len(self.classes)), np.int64)
        np.add.at(matrix, (self.truth, self.ranked[:, 0]), 1)
        return matrix

    def per_class(self) -> np.ndarray:
        """float64 (classes,): share of right answers; nan for a class without samples."""
        counts = np.bincount(self.truth, minlength=len(self.classes))
        hits = np.bincount(self.truth[self.right], minlength=len(self.classes))
        with np.errstate(invalid="ignore"):
            return np.asarray(hits / counts)

    def metrics(self) -> dict[str, float]:
        """accuracy, mean_class_accuracy and top5_accuracy, 0 to 1."""
        return {
            "accuracy": float(self.right.mean()),
            "mean_class_accuracy": float(np.nanmean(self.per_class())),
            "top5_accuracy": float((self.ranked == self.truth[:, None]).any(axis=1).mean()),
            **{level_metric(level): float(right.mean()) for level, right in enumerate(self.parents_right, 1)},
        }

    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy. Source: Wilson, Probable Inference, JASA 22 (1927)."""
        n, p, z = len(self.truth), float(self.right.mean()), 1.96
        centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return float((centre - half) / (1 + z * z / n)), float((centre + half) / (1 + z * z / n))

    def card(self) -> str:
        low, high = self.interval()
        counts = np.bincount(self.truth, minlength=len(self.classes))
        rows = zip(self.classes, counts, self.per_class(), strict=True)
        table = "\n".join(f"| {label} | {count} | {100 * share:.1f} % |" for label, count, share in rows if count)
        return (
            f"95 % interval of the accuracy: {100 * low:.2f} to {100 * high:.2f} %.{self._refused()}\n\n"
            f"| class | pictures | right |\n| --- | --- | --- |\n{table}"
        )

    def _refused(self) -> str:
        return "" if self.refused is None else f" {100 * self.refused:.1f} % of the pictures are called unknown."

    def draw(self, folder: Path) -> list[str]:
        """confusion.png: rows are true classes, columns answers; each row as shares of its class."""
        from matplotlib.figure import Figure

        counts = self.confusion
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (classes, classes)
        side = min(14.0, 4 + 0.12 * len(self.classes))
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        figure.colorbar(axes.imshow(shares, cmap="viridis", vmin=0, vmax=1), shrink=0.7)
        axes.set(xlabel="answered", ylabel="true")
        if len(self.classes) <= _NAMED_CLASSES:
            axes.set_xticks(range(len(self.classes)), self.classes, rotation=90)
            axes.set_yticks(range(len(self.classes)), self.classes)
        figure.savefig(folder / "confusion.png", dpi=100)
        return ["confusion.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """Right answers of highest score, wrong answers of highest score."""
        order = np.argsort(-self.scores, kind="stable")
        return order[self.right[order]][:count].tolist(), order[~self.right[order]][:count].tolist()

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """As it is: the answer has no place in it."""
        return picture

    def caption(self, index: int) -> str:
        answer = f"{self.classes[self.ranked[index, 0]]} {self.scores[index]:.2f}"
        return answer if self.right[index] else f"{answer}\ntruly {self.classes[self.truth[index]]}"
