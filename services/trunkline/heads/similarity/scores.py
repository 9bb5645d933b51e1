"""What embeddings are worth: same or different, nearest pictures, few examples."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from trunkline.core.results import Calibration
from trunkline.heads.similarity.calibration import distances, pairs_of
from trunkline.heads.similarity.few_shot import (
    WAYS,
    Run,
    few_shot_accuracy,
    mean_embedding_accuracy,
    runs_accuracy,
)
from trunkline.heads.similarity.neighbours import nearest_others
from trunkline.heads.similarity.verification import Verification

_NEIGHBOURS = 5
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SimilarityScores:
    """vectors: float32 (N, D), unit vectors; truth: int64 (N,), index into the classes.

    listed: pairs that the data names, as int64 (M,), int64 (M,), bool (M,); without, all pairs count. reference: unit
    vectors of other pictures of the same classes, with their truth. runs: one-shot tests that come with the data.
    """

    vectors: np.ndarray
    truth: np.ndarray
    classes: tuple[str, ...]
    calibration: Calibration | None = None
    listed: Pairs | None = None
    reference: tuple[np.ndarray, np.ndarray] | None = None
    runs: tuple[Run, ...] = field(default=())

    @cached_property
    def verification(self) -> Verification | None:
        first, second, same = self.listed or pairs_of(self.truth)
        return Verification.of(distances(self.vectors, first, second), same)

    @cached_property
    def _nearest(self) -> tuple[np.ndarray, np.ndarray]:
        return nearest_others(self.vectors, min(_NEIGHBOURS, len(self.vectors) - 1))

    @cached_property
    def _has_others(self) -> np.ndarray:
        """bool (N,): whether there is another picture of the class."""
        _, inverse, counts = np.unique(self.truth, return_inverse=True, return_counts=True)
        return np.asarray(counts[inverse] > 1)

    def recall(self, count: int) -> float:
        """Share of pictures with one of their own class among the `count` nearest others; nan without any."""
        hits = (self.truth[self._nearest[0][:, :count]] == self.truth[:, None]).any(axis=1)
        return float(hits[self._has_others].mean()) if self._has_others.any() else float("nan")

    @cached_property
    def _metrics(self) -> dict[str, float]:
        found: dict[str, float | None] = {}
        if self.verification is not None:
            found |= {"auc": self.verification.auc, "eer": self.verification.eer}
            if self.calibration is not None:
                found["verification_accuracy"] = self.verification.accuracy(self.calibration)
        if self._has_others.any() and self.listed is None:
            found |= {"recall_at_1": self.recall(1), f"recall_at_{_NEIGHBOURS}": self.recall(_NEIGHBOURS)}
            found["few_shot_accuracy"] = few_shot_accuracy(self.vectors, self.truth, 1)
            found["five_shot_accuracy"] = few_shot_accuracy(self.vectors, self.truth, 5)
        if self.reference is not None:
            found["mean_embedding_accuracy"] = mean_embedding_accuracy(self.vectors, self.truth, *self.reference)
        if self.runs:
            found["one_shot_runs_accuracy"] = runs_accuracy(self.runs)
        return {name: value for name, value in found.items() if value is not None}

    def metrics(self) -> dict[str, float]:
        """What can be measured on the data, 0 to 1.

        auc, eer and verification_accuracy (at the threshold of the head) of pairs; recall_at_1 and recall_at_5, each
        picture against all others; few_shot_accuracy and five_shot_accuracy of up to 20 classes by one and by five
        examples; mean_embedding_accuracy by the pictures of the other splits; one_shot_runs_accuracy.
        """
        return dict(self._metrics)

    def card(self) -> str:
        lines = []
        if self.verification is not None:
            same = int(self.verification.same.sum())
            lines.append(f"Pairs: {same} of the same class, {len(self.verification.same) - same} of different ones.")
        if self.calibration is not None:
            lines.append(
                f"Two pictures count as the same up to a distance of {self.calibration.threshold:.4f}, where both "
                "are equally likely by pictures that were not learned from."
            )
        if "few_shot_accuracy" in self._metrics:
            ways = min(WAYS, len(np.unique(self.truth)))
            lines.append(f"Few shots: {ways} classes at a time, one or five examples of each.")
        if self.runs:
            trials = sum(len(run.truth) for run in self.runs)
            lines.append(f"One-shot runs: {len(self.runs)} that come with the data, {trials} trials.")
        return "\n".join(lines)

    def draw(self, folder: Path) -> list[str]:
        """verification.png: ROC and distances. map.png: the vectors in the plane."""
        from trunkline.heads.similarity.plots import draw_map, draw_verification

        drawn = []
        if self.verification is not None:
            draw_verification(self.verification, self.calibration, folder / "verification.png")
            drawn.append("verification.png")
        if len(self.vectors) > 2:
            draw_map(self.vectors, self.truth, self.classes, folder / "map.png")
            drawn.append("map.png")
        return drawn

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """Pictures whose nearest other is surely of their class, and those whose is as surely of another."""
        nearest, alike = self._nearest
        right = self.truth[nearest[:, 0]] == self.truth
        order = np.argsort(-alike[:, 0], kind="stable")
        order = order[self._has_others[order]] if self._has_others.any() else order
        return order[right[order]][:count].tolist(), order[~right[order]][:count].tolist()

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """As it is: the answer has no place in it."""
        return picture

    def caption(self, index: int) -> str:
        nearest, alike = self._nearest
        other = self.classes[self.truth[nearest[index, 0]]]
        return f"nearest: {other} {alike[index, 0]:.2f}\ntruly {self.classes[self.truth[index]]}"
