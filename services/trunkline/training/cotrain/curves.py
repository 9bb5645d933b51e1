"""Pictures of a joint training for its card."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from trunkline.training.cotrain.joint import Curve


def draw_joint(curves: Mapping[str, Curve], path: Path) -> None:
    """A row for each head: its loss, and its metric on validation pictures where there were any."""
    figure = Figure(figsize=(8, 2.4 * len(curves)), layout="constrained")
    for (name, curve), (left, right) in zip(
        curves.items(), figure.subplots(len(curves), 2, squeeze=False), strict=True
    ):
        left.plot(*_columns(curve.losses))
        left.set(title=name, xlabel="round", ylabel="loss")
        if curve.measured:
            right.plot(*_columns(curve.measured), color="tab:green", marker=".")
            right.set(title=f"{name}, validation", xlabel="round", ylabel=curve.metric)
        else:
            right.axis("off")
    figure.savefig(path, dpi=80)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]
