"""What is counted over all pixels of a label map."""

import numpy as np

from trunkline.heads.segmentation.label_map import Strip

_AT_ONCE = 500_000  # pixels that are counted at a time


class Tally:
    """Pixels of each class and the sum of their probabilities, strip by strip."""

    def __init__(self, classes: int) -> None:
        self._counts = np.zeros(classes, np.int64)
        self._sums: np.ndarray = np.zeros(classes)

    def add(self, strip: Strip) -> None:
        labels, confidence = strip.labels.ravel(), strip.confidence.ravel()
        for at in range(0, len(labels), _AT_ONCE):
            self._add(labels[at : at + _AT_ONCE], confidence[at : at + _AT_ONCE])

    def _add(self, labels: np.ndarray, confidence: np.ndarray) -> None:
        """Of runs of one label, since those are far fewer than pixels."""
        begins = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
        of, classes = labels[begins], len(self._counts)
        lengths = np.diff(begins, append=len(labels))
        sums = np.add.reduceat(confidence, begins, dtype=np.float64)
        self._counts += np.bincount(of, lengths, classes).astype(np.int64)
        self._sums += np.bincount(of, sums, classes)

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
