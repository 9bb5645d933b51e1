"""The curve of an attack, and pictures before and after it, as one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trunkline.training.robustness.measure import Example, Point

_LARGEST = 127  # to which a change is enlarged, so that it can be seen


def draw_attack(path: Path, title: str, clean: float, points: Sequence[Point], examples: Sequence[Example]) -> None:
    """Raises OSError where it cannot be written."""
    from matplotlib.figure import Figure

    rows = max(2, len(examples))
    figure = Figure(figsize=(13, 2.6 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, 4, width_ratios=(1.6, 1, 1, 1))
    curve = figure.add_subplot(grid[:2, 0])
    curve.plot([0, *(point.strength for point in points)], [clean, *(point.accuracy for point in points)], marker="o")
    curve.set(xlabel="epsilon, steps of 255", ylabel="accuracy", ylim=(0, 1), title=title)
    curve.grid(alpha=0.3)
    for row, example in enumerate(examples):
        change = example.after.astype(np.float64) - example.before  # (H, W, C)
        enlarged = (128 + change * _LARGEST / max(1.0, np.abs(change).max())).astype(np.uint8)
        shown = (
            (example.before, example.called[0]),
            (enlarged, "the change, enlarged"),
            (example.after, example.called[1]),
        )
        for column, (pixels, text) in enumerate(shown, 1):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(pixels.squeeze(), cmap="gray" if pixels.shape[2] == 1 else None)
            axes.set_title(text, fontsize=9)
            axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
