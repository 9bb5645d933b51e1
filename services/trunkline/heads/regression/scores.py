"""What estimates are worth: errors in units, the share of variance explained, a scatter plot."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class RegressionScores:
    """truth, found: float64 (N, targets), in units. Errors of angles go the shorter way round."""

    truth: np.ndarray
    found: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    angles: tuple[bool, ...]

    @property
    def errors(self) -> np.ndarray:
        """float64 (N, targets)"""
        off = self.found - self.truth
        return np.asarray(np.where(self.angles, (off + 180) % 360 - 180, off))

    def metrics(self) -> dict[str, float]:
        """rmse, mae and r2: over all targets, and `rmse.NAME` and so on for each where there are several.

        r2 is 1 for perfect estimates and 0 for those that are no better than the mean of the truth.
        """
        each = [self._of(index) for index in range(len(self.names))]
        joint = {
            "rmse": float(np.sqrt((self.errors**2).mean())),
            "mae": float(np.abs(self.errors).mean()),
            "r2": float(np.mean([found["r2"] for found in each])),
        }
        if len(each) == 1:
            return joint
        return joint | {
            f"{key}.{name}": value
            for name, found in zip(self.names, each, strict=True)
            for key, value in found.items()
        }

    def _of(self, index: int) -> dict[str, float]:
        off, truth = self.errors[:, index], self.truth[:, index]
        spread = float(((truth - truth.mean()) ** 2).sum())
        return {
            "rmse": float(np.sqrt((off**2).mean())),
            "mae": float(np.abs(off).mean()),
            "r2": 1 - float((off**2).sum()) / spread if spread > 0 else 0.0,
        }

    def card(self) -> str:
        """A table by target, against always answering the mean."""
        lines = ["| target | unit | RMSE | MAE | R² | MAE of the mean | 95 % of errors below |", "| --- " * 7 + "|"]
        for index, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            found, truth = self._of(index), self.truth[:, index]
            naive = np.abs(truth - truth.mean()).mean()
            most = np.quantile(np.abs(self.errors[:, index]), 0.95)
            lines.append(
                f"| {name} | {unit or '-'} | {found['rmse']:.3f} | {found['mae']:.3f} | {found['r2']:.4f} "
                f"| {naive:.3f} | {most:.3f} |"
            )
        return "\n".join(lines)

    def draw(self, folder: Path) -> list[str]:
        """scatter.png: estimate over truth, one plot for each target."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5 * len(self.names), 5), layout="constrained")
        for index, axes in enumerate(figure.subplots(1, len(self.names), squeeze=False)[0]):
            truth = self.truth[:, index]
            axes.scatter(truth, truth + self.errors[:, index], s=6, alpha=0.4)
            axes.axline((truth[0], truth[0]), slope=1, color="black", linewidth=0.8)
            unit = f" [{self.units[index]}]" if self.units[index] else ""
            axes.set(xlabel=f"true {self.names[index]}{unit}", ylabel=f"answered{unit}")
        figure.savefig(folder / "scatter.png", dpi=100)
        return ["scatter.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """Smallest and largest errors, each target in its own standard deviations."""
        scale = np.maximum(self.truth.std(axis=0), 1e-12)
        order = np.argsort(np.abs(self.errors / scale).max(axis=1), kind="stable")
        return order[:count].tolist(), order[::-1][:count].tolist()

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """As it is: the answer has no place in it."""
        return picture

    def caption(self, index: int) -> str:
        answer = " ".join(f"{value:.1f}{unit}" for value, unit in zip(self.found[index], self.units, strict=True))
        truth = " ".join(f"{value:.1f}{unit}" for value, unit in zip(self.truth[index], self.units, strict=True))
        return f"{answer}\ntruly {truth}"
