"""How glow is measured: by how far off the levels are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trunkline.core.measuring import Ask, Known


@dataclass(frozen=True)
class GlowScores:
    """off: float64 (N,)"""

    off: np.ndarray

    def metrics(self) -> dict[str, float]:
        return {"off": float(self.off.mean())}

    def card(self) -> str:
        return f"Levels are off by {self.off.mean():.3f} in the mean."

    def draw(self, folder: Path) -> list[str]:
        return []

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        order = np.argsort(self.off).tolist()
        return order[:count], order[::-1][:count]

    def caption(self, index: int) -> str:
        return f"off by {self.off[index]:.3f}"

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        return picture


def scores_of(answers: Sequence[Any], samples: Sequence[Any]) -> GlowScores:
    return GlowScores(np.abs([answer.level - each.targets[0] for answer, each in zip(answers, samples, strict=True)]))


class Measure:
    def __init__(self, known: Known) -> None:
        """It has no classes."""

    def params(self) -> dict[str, Any]:
        return {}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> GlowScores:
        return scores_of(ask(samples), samples)
