"""Pictures for people: learning curves, the best and the worst answers."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from trunkline.core.images import decode_image
from trunkline.core.progress import Epoch
from trunkline.heads.learner import Scores
from trunkline.training.data.dataset import Sample

_TILE = (200, 150)
_TEXT = 34  # pixels below a tile
_COLUMNS = 4


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
        right[0].set(xlabel="epoch", ylabel=epochs[-1].metric, title="validation")
    left.set(xlabel="epoch", ylabel="loss", title="loss")
    left.legend()
    figure.savefig(path, dpi=100)


def draw_samples(samples: Sequence[Sample], scores: Scores, path: Path) -> None:
    """Two rows: the best answers and the worst ones."""
    rows = scores.best_and_worst(_COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE[0], len(rows) * (_TILE[1] + _TEXT)), "white")
    for row, chosen in enumerate(rows):
        for column, index in enumerate(chosen):
            at = (column * _TILE[0], row * (_TILE[1] + _TEXT))
            picture = scores.overlay(index, decode_image(samples[index].encoded()))
            sheet.paste(ImageOps.fit(picture, _TILE), at)
            ImageDraw.Draw(sheet).text((at[0] + 4, at[1] + _TILE[1] + 2), scores.caption(index), "black")
    sheet.save(path, "JPEG", quality=85)
