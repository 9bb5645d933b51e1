"""Heat maps against masks of flaws: AUROC of pixels, and PRO, which counts small flaws like large ones.

Heat maps have 256 values, so counts of them hold all that both need, however many pixels there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

_MOST_WRONG = 0.3  # of the good pixels, up to which PRO counts
_EIGHT = np.ones((3, 3), np.int64)  # neighbours of a pixel, corners too


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of each gray: of good ones int64 (256,), of each connected flawed region int64 (R, 256)."""

    good: np.ndarray
    regions: np.ndarray

    @classmethod
    def of(cls, pairs: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> "PixelCounts":
        """pairs: a heat map uint8 (H, W), and where it is flawed, bool (H, W); None for nowhere."""
        good, regions = np.zeros(256, np.int64), []
        for heat, flawed in pairs:
            if flawed is None:
                good += np.bincount(heat.ravel(), minlength=256)
                continue
            good += np.bincount(heat[~flawed], minlength=256)
            numbered, count = label(flawed, _EIGHT)
            pairs_of = numbered[flawed].astype(np.int64) * 256 + heat[flawed]
            regions.append(np.bincount(pairs_of, minlength=256 * (count + 1)).reshape(-1, 256)[1:])
        return cls(good, np.concatenate(regions) if regions else np.zeros((0, 256), np.int64))

    @property
    def can_be_measured(self) -> bool:
        return bool(self.good.any() and len(self.regions))

    def auroc(self) -> float:
        """How often a flawed pixel is grayer than a good one, equal ones by half; 0 to 1."""
        wrong, right = _shares(self.good), _shares(self.regions.sum(axis=0))
        return float(np.trapezoid(right, wrong))

    def pro(self) -> float:
        """Area under the mean share of a region that is found, up to 30 % of the good pixels; 0 to 1.

        Source: Bergmann et al., Uninformed Students, 2020, section 4.
        """
        wrong = _shares(self.good)  # (257,)
        found = np.mean([_shares(region) for region in self.regions], axis=0)  # (257,)
        upto = np.append(wrong[wrong < _MOST_WRONG], _MOST_WRONG)
        return float(np.trapezoid(np.interp(upto, wrong, found), upto) / _MOST_WRONG)


def _shares(counts: np.ndarray) -> np.ndarray:
    """int64 (256,) -> float64 (257,), the share of pixels at or above each gray, from 256 down to 0."""
    return np.concatenate([[0.0], np.cumsum(counts[::-1]) / max(1, counts.sum())])
