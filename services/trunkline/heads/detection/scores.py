"""What detections are worth: average precision by class, curves, counts, and what was found and missed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageDraw

from trunkline.core.masks import decode_mask
from trunkline.core.results import Box, Detections
from trunkline.heads.detection.coco import RECALLS, ObjectTruth, Precision, precision
from trunkline.heads.detection.matches import SHOWN, count_matches

_TRUE, _RIGHT = (0, 200, 0), (255, 40, 40)  # colours of what is known and of what was answered
_LEGIBLE = 25  # classes of which curves are drawn each


@dataclass(frozen=True)
class DetectionScores:
    """boxes, masks: precision over all pictures; masks is None where the data or the head has none.

    counts: int64 (N, K + 1, K + 1), see `count_matches`.
    """

    boxes: Precision
    masks: Precision | None
    counts: np.ndarray
    answers: tuple[Detections, ...]
    truths: tuple[tuple[ObjectTruth, ...], ...]
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, answers: Sequence[Detections], truths: Sequence[Sequence[ObjectTruth]], classes: Sequence[str]
    ) -> Self:
        """answers: with all that the head gives, down to the lowest scores."""
        count = len(classes)
        outlined = any(each.mask is not None for picture in truths for each in picture)
        outlined = outlined and any(each.mask is not None for answer in answers for each in answer.objects)
        return cls(
            boxes=precision(answers, truths, count, "bbox"),
            masks=precision(answers, truths, count, "segm") if outlined else None,
            counts=np.stack([count_matches(*pair, count) for pair in zip(answers, truths, strict=True)]),
            answers=tuple(answers),
            truths=tuple(map(tuple, truths)),
            classes=tuple(classes),
        )

    def metrics(self) -> dict[str, float]:
        """ap: mean over IoU 0.5 to 0.95 and the classes; ap50, ap75: at one IoU; the same of masks. 0 to 1."""
        found = {"ap": self.boxes.mean(), "ap50": self.boxes.mean(0.5), "ap75": self.boxes.mean(0.75)}
        if self.masks is not None:
            found |= {"mask_ap": self.masks.mean(), "mask_ap50": self.masks.mean(0.5)}
        return found

    def card(self) -> str:
        rows = "\n".join(self._row(label) for label in range(len(self.classes)))
        masks = " mask AP |" if self.masks is not None else ""
        return (
            f"Found, missed and false: answers of a score of {SHOWN:g} or more, at an overlap of 0.5; mistaken: "
            "found, but as another class. Count: of the objects in a picture, mean difference to the truth.\n\n"
            f"| class | objects | AP | AP50 |{masks} found | mistaken | missed | false | count off by |\n"
            f"| --- | --- | --- | --- |{' --- |' if masks else ''} --- | --- | --- | --- | --- |\n{rows}"
        )

    def draw(self, folder: Path) -> list[str]:
        """precision.png: curves at IoU 0.5 and 0.75. confusion.png: rows are true classes, columns answers."""
        self._draw_curves(folder / "precision.png")
        self._draw_confusion(folder / "confusion.png")
        return ["precision.png", "confusion.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """By F1 at a score and an overlap of 0.5; of equal ones those with more objects first."""
        order = np.lexsort((-self.counts.sum(axis=(1, 2)), -self._f1()))
        return order[:count].tolist(), order[::-1][:count].tolist()

    def caption(self, index: int) -> str:
        counts = self.counts[index]
        right, known = int(np.trace(counts[:-1, :-1])), int(counts[:-1].sum())
        return f"{right} of {known} found\n{int(counts[:, :-1].sum()) - right} wrong"

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """The picture with what is known in green and what was answered in red."""
        shown = picture.convert("RGB")
        for each in self.answers[index].objects:
            if each.label.score >= SHOWN and each.mask is not None:
                tint = Image.new("RGB", shown.size, _RIGHT)
                shown.paste(Image.blend(shown, tint, 0.35), mask=Image.fromarray(decode_mask(each.mask)))
        pen, width = ImageDraw.Draw(shown), max(2, max(shown.size) // 160)
        for truth in self.truths[index]:
            pen.rectangle(_corners(truth.box), outline=_TRUE, width=width)
        for each in self.answers[index].objects:
            if each.label.score >= SHOWN:
                pen.rectangle(_corners(each.box), outline=_RIGHT, width=max(1, width // 2))
        return shown

    def _row(self, label: int) -> str:
        counts = self.counts.sum(axis=0)  # (K + 1, K + 1)
        known, right = int(counts[label].sum()), int(counts[label, label])
        missed, false = int(counts[label, -1]), int(counts[-1, label])
        off = np.abs(self.counts[:, label].sum(axis=1) - self.counts[:, :, label].sum(axis=1)).mean()
        masks = f" {_percent(self.masks.of_classes()[label])} |" if self.masks is not None else ""
        return (
            f"| {self.classes[label]} | {known} | {_percent(self.boxes.of_classes()[label])} | "
            f"{_percent(self.boxes.of_classes(0.5)[label])} |{masks} {right} | {known - right - missed} | {missed} | "
            f"{false} | {off:.2f} |"
        )

    def _f1(self) -> np.ndarray:
        """float64 (N,); 1 for a picture with nothing in it of which nothing was answered."""
        right = np.trace(self.counts[:, :-1, :-1], axis1=1, axis2=2)
        both = self.counts[:, :-1].sum(axis=(1, 2)) + self.counts[:, :, :-1].sum(axis=(1, 2))
        return np.where(both > 0, 2 * right / np.maximum(both, 1), 1.0)

    def _draw_curves(self, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 5), layout="constrained")
        axes = figure.subplots()
        for label, name in list(enumerate(self.classes))[:_LEGIBLE]:
            if np.isfinite(self.boxes.of_classes()[label]):
                line = axes.plot(RECALLS, self.boxes.curve(label, 0.5), label=name)[0]
                axes.plot(RECALLS, self.boxes.curve(label, 0.75), linestyle=":", color=line.get_color())
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="IoU 0.5, dotted 0.75")
        if axes.lines:
            axes.legend()
        figure.savefig(path, dpi=100)

    def _draw_confusion(self, path: Path) -> None:
        from matplotlib.figure import Figure

        counts = self.counts.sum(axis=0)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (K + 1, K + 1)
        side = min(14.0, 4 + 0.3 * len(counts))
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        figure.colorbar(axes.imshow(shares, cmap="viridis", vmin=0, vmax=1), shrink=0.7)
        axes.set(xlabel="answered", ylabel="true")
        axes.set_xticks(range(len(counts)), [*self.classes, "missed"], rotation=90)
        axes.set_yticks(range(len(counts)), [*self.classes, "nothing"])
        if len(counts) <= _LEGIBLE:
            for (row, column), count in np.ndenumerate(counts):
                ink = "black" if shares[row, column] > 0.5 else "white"
                axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=8)
        figure.savefig(path, dpi=100)


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x_min, box.y_min, max(box.x_min, box.x_max - 1), max(box.y_min, box.y_max - 1)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f} %"
