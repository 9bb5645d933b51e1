"""What segmentations are worth: intersection over union by class, accuracy of pixels, the confusion matrix."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from trunkline.core.results import Segmentation
from trunkline.heads.segmentation.label_map import IGNORED

_RESAMPLES = 1000
_COLOURS = 0.55  # share of the colours of the classes in an overlay


@dataclass(frozen=True)
class SegmentationScores:
    """confusions: int64 (N, K, K), true class by answered class, pixels of each picture. answers: their PNGs."""

    confusions: np.ndarray
    answers: tuple[bytes, ...]
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, answers: Sequence[Segmentation], truths: Sequence[Callable[[], np.ndarray]], classes: Sequence[str]
    ) -> Self:
        """truths: give labels uint8 (H, W), read when they are needed."""
        pairs = zip(answers, truths, strict=True)
        confusions = [_confusion(truth(), _labels(answer.label_map_png), len(classes)) for answer, truth in pairs]
        return cls(np.stack(confusions), tuple(answer.label_map_png for answer in answers), tuple(classes))

    @property
    def confusion(self) -> np.ndarray:
        """int64 (K, K) over all pictures."""
        return np.asarray(self.confusions.sum(axis=0))

    def metrics(self) -> dict[str, float]:
        """mean_iou over the classes, global_accuracy over the pixels, mean_class_accuracy; 0 to 1."""
        confusion = self.confusion
        with np.errstate(invalid="ignore"):
            recall = np.diag(confusion) / confusion.sum(axis=1)
        return {
            "mean_iou": float(np.nanmean(intersection_over_union(confusion))),
            "global_accuracy": float(np.trace(confusion) / max(1, confusion.sum())),
            "mean_class_accuracy": float(np.nanmean(recall)),
        }

    def interval(self) -> tuple[float, float]:
        """95 % interval of mean_iou over drawings of the pictures. Source: Efron, Bootstrap Methods, 1979."""
        rng, count = np.random.default_rng(0), len(self.confusions)
        draws = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)  # (R, N)
        sums = np.tensordot(draws, self.confusions, axes=1)  # (R, K, K)
        means = [float(np.nanmean(intersection_over_union(each))) for each in sums]
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)

    def card(self) -> str:
        low, high = self.interval()
        confusion = self.confusion
        shares = confusion.sum(axis=1) / max(1, confusion.sum())
        rows = zip(self.classes, shares, intersection_over_union(confusion), strict=True)
        table = "\n".join(f"| {name} | {100 * share:.2f} % | {100 * iou:.1f} % |" for name, share, iou in rows)
        return (
            f"95 % interval of mean_iou over the pictures: {100 * low:.1f} to {100 * high:.1f} %.\n\n"
            f"| class | of the pixels | IoU |\n| --- | --- | --- |\n{table}"
        )

    def draw(self, folder: Path) -> list[str]:
        """confusion.png: rows are true classes, columns answers; each row as shares of its class."""
        from matplotlib.figure import Figure

        confusion = self.confusion
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)  # (K, K)
        side = min(14.0, 4 + 0.2 * len(self.classes))
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        figure.colorbar(axes.imshow(shares, cmap="viridis", vmin=0, vmax=1), shrink=0.7)
        axes.set(xlabel="answered", ylabel="true")
        axes.set_xticks(range(len(self.classes)), self.classes, rotation=90)
        axes.set_yticks(range(len(self.classes)), self.classes)
        figure.savefig(folder / "confusion.png", dpi=100)
        return ["confusion.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """By the mean over the classes of the picture."""
        order = np.argsort(-self._each(), kind="stable")
        return order[:count].tolist(), order[::-1][:count].tolist()

    def caption(self, index: int) -> str:
        right = np.trace(self.confusions[index]) / max(1, self.confusions[index].sum())
        return f"mean IoU {100 * self._each()[index]:.0f} %\npixels right {100 * right:.0f} %"

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """The picture, upright RGB, under the colours of its answer."""
        colours = Image.open(io.BytesIO(self.answers[index])).convert("RGB").resize(picture.size)
        return Image.blend(picture, colours, _COLOURS)

    def _each(self) -> np.ndarray:
        """float64 (N,)"""
        return np.array([np.nan_to_num(np.nanmean(intersection_over_union(each))) for each in self.confusions])


def intersection_over_union(confusion: np.ndarray) -> np.ndarray:
    """int64 (K, K) -> float64 (K,); nan for a class that neither is there nor was answered."""
    right = np.diag(confusion)
    with np.errstate(invalid="ignore"):
        return np.asarray(right / (confusion.sum(axis=0) + confusion.sum(axis=1) - right))


def _labels(png: bytes) -> np.ndarray:
    """uint8 (H, W)"""
    return np.asarray(Image.open(io.BytesIO(png)))


def _confusion(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """int64 (K, K), IGNORED left out."""
    known = truth != IGNORED
    pairs = truth[known].astype(np.int64) * classes + answer[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
