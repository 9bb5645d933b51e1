"""Same or different, by distance: the ROC curve and what is read from it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from trunkline.core.results import Calibration


@dataclass(frozen=True)
class Verification:
    """away: distances float64 (M,) of pairs; same: bool (M,). Both kinds are there."""

    away: np.ndarray
    same: np.ndarray

    @classmethod
    def of(cls, away: np.ndarray, same: np.ndarray) -> Self | None:
        """None without pairs of both kinds."""
        return cls(away, same) if same.any() and not same.all() else None

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of different pairs that are taken for the same, and of same pairs that are, rising."""
        wrong, right, _ = roc_curve(self.same, -self.away)
        return np.asarray(wrong), np.asarray(right)

    @property
    def auc(self) -> float:
        """Area under the curve: how often a same pair is nearer than a different one, 0 to 1."""
        return float(roc_auc_score(self.same, -self.away))

    @property
    def eer(self) -> float:
        """Equal error rate: both kinds of error at the threshold where they are equal, 0 to 1."""
        wrong, right = self.curve()
        at = int(np.argmin(np.abs(wrong - (1 - right))))
        return float((wrong[at] + 1 - right[at]) / 2)

    def accuracy(self, calibration: Calibration) -> float:
        """Of the verdict at the threshold: the mean of the shares of right answers among same and different pairs."""
        said = self.away <= calibration.threshold
        return float((said[self.same].mean() + (~said[~self.same]).mean()) / 2)
