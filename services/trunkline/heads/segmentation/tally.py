"""What is counted over all pixels of a label map."""

import numpy as np

from trunkline.heads.segmentation.label_map import Strip

_AT_ONCE = 500_000  # pixels that are counted at a time: numpy makes 8 bytes of each number


class Tally:
    """Pixels of each class and the sum of their probabilities, strip by strip; the sums are those of one pass."""

    def __init__(self, classes: int) -> None:
        self._counts = np.zeros(classes, np.int64)
        self._sums: np.ndarray = np.zeros(classes)

    def add(self, strip: Strip) -> None:
        labels, confidence = strip.labels.ravel(), strip.confidence.ravel()
        classes = np.arange(len(self._counts))
        for at in range(0, len(labels), _AT_ONCE):
            part = labels[at : at + _AT_ONCE]
            self._counts += np.bincount(part, minlength=len(classes))
            # The sums so far go first, so that all are added up in the order of the pixels.
            places = np.concatenate([classes, part])
            self._sums = np.bincount(places, np.concatenate([self._sums, confidence[at : at + _AT_ONCE]]))

    def order(self) -> list[int]:
        """Classes that occur, the largest first."""
        return sorted(np.flatnonzero(self._counts).tolist(), key=lambda index: -int(self._counts[index]))

    def area(self, index: int) -> float:
        """Share of the pixels, 0 to 1."""
        return float(self._counts[index] / self._counts.sum())

    def confidence(self, index: int) -> float:
        """Mean probability of the pixels of a class, 0 to 1."""
        return float(self._sums[index] / self._counts[index])


def gray(confidence: np.ndarray) -> np.ndarray:
    """float32 (H, W), 0 to 1 -> uint8 (H, W), 255 for 1."""
    return np.asarray(np.rint(255 * np.clip(confidence, 0, 1)), np.uint8)
