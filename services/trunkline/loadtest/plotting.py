"""matplotlib without a screen, in one look."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def panels(count: int, width: float = 5.0, height: float = 3.6, rows: int = 1) -> tuple[Any, list[Any]]:
    """A figure with `count` axes side by side, in so many rows that share their x axis."""
    size = (width * count, height * rows)
    figure, axes = plt.subplots(rows, count, figsize=size, squeeze=False, layout="constrained", sharex="col")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
    return figure, list(axes.flat)


def save(figure: Any, path: Path) -> None:
    """Write the PNG and let go of the figure."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
