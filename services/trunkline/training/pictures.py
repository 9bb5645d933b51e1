"""Pictures for people: learning curves, the confusion matrix, the best and the worst answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from trunkline.core.images import decode_image
from trunkline.training.data.dataset import Sample
from trunkline.training.evaluation import ClassificationScores
from trunkline.training.fit import Epoch

_TILE = (200, 150)
_NAMED_CLASSES = 40  # more names than this cannot be read beside a matrix


def draw_curves(epochs: Sequence[Epoch], path: Path) -> None:
    """Loss, and where there was validation data its loss and metric, by epoch."""
    validated = epochs[-1].validation_loss is not None
    figure = Figure(figsize=(8 if validated else 5, 4), layout="constrained")
    left, *right = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    numbers = [epoch.number for epoch in epochs]
    left.plot(numbers, [epoch.train_loss for epoch in epochs], label="train")
    if validated:
        left.plot(numbers, [epoch.validation_loss or 0.0 for epoch in epochs], label="validation")
        right[0].plot(numbers, [epoch.validation_metric or 0.0 for epoch in epochs], color="tab:green")
        right[0].set(xlabel="epoch", ylabel="accuracy", title="validation")
    left.set(xlabel="epoch", ylabel="loss", title="loss")
    left.legend()
    figure.savefig(path, dpi=100)


def draw_confusion(scores: ClassificationScores, labels: Sequence[str], path: Path) -> None:
    """Rows are true classes, columns answers; each row as shares of its class."""
    counts = scores.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (classes, classes)
    side = min(14.0, 4 + 0.12 * len(labels))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    figure.colorbar(axes.imshow(shares, cmap="viridis", vmin=0, vmax=1), shrink=0.7)
    axes.set(xlabel="answered", ylabel="true")
    if len(labels) <= _NAMED_CLASSES:
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
    figure.savefig(path, dpi=100)


def draw_samples(samples: Sequence[Sample], scores: ClassificationScores, labels: Sequence[str], path: Path) -> None:
    """Two rows of four: right answers of highest score, wrong answers of highest score."""
    order = np.argsort(-scores.scores, kind="stable")
    best, worst = (order[mask[order]][:4] for mask in (scores.right, ~scores.right))
    sheet = Image.new("RGB", (4 * _TILE[0], 2 * (_TILE[1] + 34)), "white")
    for row, chosen in enumerate((best, worst)):
        for column, index in enumerate(chosen):
            at = (column * _TILE[0], row * (_TILE[1] + 34))
            _paste(sheet, samples[index].read(), at)
            answer = labels[scores.ranked[index, 0]]
            truth = "" if scores.right[index] else f"\ntruly {labels[scores.truth[index]]}"
            ImageDraw.Draw(sheet).text(
                (at[0] + 4, at[1] + _TILE[1] + 2), f"{answer} {scores.scores[index]:.2f}{truth}", "black"
            )
    sheet.save(path, "JPEG", quality=85)


def _paste(sheet: Image.Image, data: bytes, at: tuple[int, int]) -> None:
    sheet.paste(ImageOps.fit(decode_image(data), _TILE), at)
