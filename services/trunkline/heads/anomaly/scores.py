"""What scores and heat maps are worth: AUROC of pictures and of pixels, PRO, and what the limit makes of them."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

from trunkline.core.figures import percent
from trunkline.core.task import Canvas
from trunkline.core.tasks import task_answering
from trunkline.heads.anomaly.regions import PixelCounts
from trunkline.heads.anomaly.task import Anomaly

_RESAMPLES = 1000
_FEWEST = 200  # good pictures, below which a share of false alarms is a rough one

LoadMask = Callable[[], np.ndarray]  # uint8 (H, W): 0 where the picture is good


@dataclass(frozen=True)
class AnomalyScores:
    """kinds: int64 (N,), 0 for good, else an index into classes. pixels: where masks say what is flawed."""

    answers: tuple[Anomaly, ...]
    kinds: np.ndarray
    classes: tuple[str, ...]
    pixels: PixelCounts

    @classmethod
    def of(
        cls,
        answers: Sequence[Anomaly],
        kinds: Sequence[int],
        masks: Sequence[LoadMask | None],
        classes: Sequence[str],
    ) -> Self:
        """masks: of flawed pictures, read when they are needed; None where there is none."""
        truth = np.array(kinds, np.int64)
        measured = any(mask is not None for mask in masks)
        pairs = _pairs(answers, truth, masks) if measured else iter(())
        return cls(tuple(answers), truth, tuple(classes), PixelCounts.of(pairs))

    @property
    def scores(self) -> np.ndarray:
        """float64 (N,)"""
        return np.array([answer.score for answer in self.answers])

    @property
    def flawed(self) -> np.ndarray:
        """bool (N,)"""
        return np.asarray(self.kinds > 0)

    @property
    def called(self) -> np.ndarray:
        """bool (N,), whether each was said to be anomalous."""
        return np.array([answer.anomalous for answer in self.answers])

    def metrics(self) -> dict[str, float]:
        """image_auroc and found need flawed pictures, pixel_auroc and pro masks, false_alarms good pictures.

        found: share of the flawed pictures that were called anomalous; false_alarms: of the good ones. 0 to 1.
        """
        found: dict[str, float] = {}
        if self._both:
            found["image_auroc"] = float(roc_auc_score(self.flawed, self.scores))
        if self.pixels.can_be_measured:
            found |= {"pixel_auroc": self.pixels.auroc(), "pro": self.pixels.pro()}
        if self.flawed.any():
            found["found"] = float(self.called[self.flawed].mean())
        if not self.flawed.all():
            found["false_alarms"] = float(self.called[~self.flawed].mean())
        return found

    @property
    def _both(self) -> bool:
        return bool(self.flawed.any() and not self.flawed.all())

    def interval(self) -> tuple[float, float]:
        """95 % interval of image_auroc over drawings of good and of flawed pictures. Source: Efron, 1979."""
        rng, good, flawed = np.random.default_rng(0), self.scores[~self.flawed], self.scores[self.flawed]
        truth = np.repeat([False, True], [len(good), len(flawed)])
        drawn = [
            roc_auc_score(truth, np.concatenate([rng.choice(part, len(part)) for part in (good, flawed)]))
            for _ in range(_RESAMPLES)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5])
        return float(low), float(high)

    def card(self) -> str:
        good = int((~self.flawed).sum())
        lines = []
        if self._both:
            low, high = self.interval()
            lines += [f"95 % interval of image_auroc over the pictures: {low:.3f} to {high:.3f}.", ""]
        else:
            lines += ["The data has good pictures alone: how well flawed ones are told from them is not known.", ""]
        if good and good < _FEWEST:
            lines += [f"false_alarms are those of {good} good pictures, so they are known roughly.", ""]
        lines += [
            "| pictures | number | called anomalous | AUROC against the good ones |",
            "| --- | --- | --- | --- |",
        ]
        return "\n".join([*lines, *self._rows()])

    def _rows(self) -> Iterator[str]:
        for kind in np.unique(self.kinds).tolist():
            chosen = self.kinds == kind
            auroc = ""
            if kind and self._both:
                seen = chosen | ~self.flawed
                auroc = f"{roc_auc_score(self.flawed[seen], self.scores[seen]):.3f}"
            called = percent(float(self.called[chosen].mean()))
            yield f"| {self.classes[kind]} | {chosen.sum()} | {called} | {auroc} |"

    def draw(self, folder: Path) -> list[str]:
        """scores.png: how many good and flawed pictures have which score. roc.png: where there are both."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        edges = np.linspace(0, max(1.5, float(np.percentile(self.scores, 98))), 40).tolist()
        for chosen, name in ((~self.flawed, "good"), (self.flawed, "flawed")):
            if chosen.any():
                axes.hist(np.minimum(self.scores[chosen], edges[-1]), edges, alpha=0.6, label=name)
        axes.axvline(1.0, color="black", linestyle="--")
        axes.set(xlabel="score (1 is the limit)", ylabel="images")
        axes.legend()
        figure.savefig(folder / "scores.png", dpi=100)
        if not self._both:
            return ["scores.png"]
        figure = Figure(figsize=(4.5, 4), layout="constrained")
        axes = figure.subplots()
        wrong, right, _ = roc_curve(self.flawed, self.scores)
        axes.plot(wrong, right)
        axes.set(xlabel="good images called anomalous", ylabel="flawed images found", xlim=(0, 1), ylim=(0, 1.01))
        figure.savefig(folder / "roc.png", dpi=100)
        return ["scores.png", "roc.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """By how far the score is on its side of the limit."""
        margin = np.where(self.flawed, self.scores - 1, 1 - self.scores)
        order = np.argsort(-margin, kind="stable")
        return order[:count].tolist(), order[::-1][:count].tolist()

    def caption(self, index: int) -> str:
        answer = self.answers[index]
        said = "anomalous" if answer.anomalous else "good"
        return f"{self.classes[self.kinds[index]]}\n{said}, score {answer.score:.2f}"

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """The picture under its heat map."""
        canvas = Canvas(picture.copy(), (1.0, 1.0))
        task_answering(Anomaly).paint(canvas, self.answers[index])
        return canvas.picture


def _pairs(
    answers: Sequence[Anomaly], kinds: np.ndarray, masks: Sequence[LoadMask | None]
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Heat maps and where they are flawed, of good pictures and of flawed ones with a mask."""
    for answer, kind, mask in zip(answers, kinds, masks, strict=True):
        if answer.heat_map_png and (mask is not None or not kind):
            with Image.open(io.BytesIO(answer.heat_map_png)) as heat:
                yield np.asarray(heat), None if mask is None else np.asarray(mask() > 0)
