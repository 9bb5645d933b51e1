"""matplotlib without a screen, in one look."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "all in one": "#1b5e9e",
    "split": "#6fa8dc",
    "hand-written": "#d98032",
    "MLServer": "#8a8a8a",
    "MLServer, batching": "#bbbbbb",
}


def panels(count: int, width: float = 5.0, height: float = 3.6) -> tuple[Any, list[Any]]:
    """A figure with `count` axes side by side."""
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, layout="constrained")
    for axis in axes[0]:
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
    return figure, list(axes[0])


def save(figure: Any, path: Path) -> None:
    """Write the PNG and let go of the figure."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
