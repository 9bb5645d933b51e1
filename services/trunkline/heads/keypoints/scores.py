"""What points are worth: how far they are off, how many are near, and OKS.

Sources: Sagonas et al., 300 Faces in-the-Wild Challenge, 2013 (NME); Yang and Ramanan, Articulated Human Detection
with Flexible Mixtures of Parts, 2013 (PCK); COCO's description of its evaluation of keypoints (OKS, AP).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_NEAR = 0.1  # of the unit, for PCK
_THRESHOLDS = np.arange(10) * 0.05 + 0.5  # of OKS
_RECALLS = np.linspace(0, 1, 101)
_LISTED = 20  # points in the table of a card
_WRONG, _RIGHT = (230, 40, 40), (40, 200, 80)


@dataclass(frozen=True)
class KeypointScores:
    """truth, found: float64 (N, K, 2), in pixels; truth is nan where a point is not labelled. scores: float64 (N,).

    areas: float64 (N,), of the boxes. units: float64 (N,), what errors are shares of; nan where that is not known.
    sigmas: float64 (K,). distance: the points that the unit is between; None where it is the size of the box.
    """

    truth: np.ndarray
    found: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    units: np.ndarray
    sigmas: np.ndarray
    names: tuple[str, ...]
    distance: tuple[str, str] | None
    skeleton: tuple[tuple[str, str], ...] = ()

    @cached_property
    def off(self) -> np.ndarray:
        """float64 (N, K), in pixels; nan where nothing is known."""
        return np.asarray(np.linalg.norm(self.truth - self.found, axis=2))

    @cached_property
    def shares(self) -> np.ndarray:
        """float64 (N, K), of the unit."""
        return np.asarray(self.off / self.units[:, None])

    @cached_property
    def nme(self) -> np.ndarray:
        """float64 (N,): mean of the points of each picture; nan where nothing is known."""
        known = ~np.isnan(self.shares)
        sums = np.where(known, self.shares, 0).sum(axis=1)
        return np.where(known.any(axis=1), sums / np.maximum(known.sum(axis=1), 1), np.nan)

    @cached_property
    def oks(self) -> np.ndarray:
        """float64 (N,): likeness of the points of each object to the truth, 0 to 1."""
        known = ~np.isnan(self.off)
        spread = 2 * self.areas[:, None] * (2 * self.sigmas) ** 2
        near = np.where(known, np.exp(-(np.where(known, self.off, 0) ** 2) / spread), 0)
        return np.asarray(near.sum(axis=1) / np.maximum(known.sum(axis=1), 1))

    def metrics(self) -> dict[str, float]:
        """nme and pck where the unit is known in any picture; oks_ap, oks_ap50, oks_ap75."""
        precisions = [_average_precision(self.oks >= least, self.scores) for least in _THRESHOLDS]
        found = {
            "oks_ap": float(np.mean(precisions)),
            "oks_ap50": precisions[0],
            "oks_ap75": precisions[5],
        }
        shares = self.shares[~np.isnan(self.shares)]
        if not len(shares):
            return found
        return {"nme": float(np.nanmean(self.nme)), "pck": float((shares <= _NEAR).mean()), **found}

    def card(self) -> str:
        """What errors are shares of, and the points that are worst."""
        unit = (
            "the size of the box (root of its area)"
            if self.distance is None
            else f"the distance between {self.distance[0]} and {self.distance[1]}"
        )
        lines = [f"`nme` is a share of {unit}; `pck` counts points that are off by {_NEAR:g} of it at most.", ""]
        lines += ["| point | images | NME | off by, in the median [px] |", "| --- " * 4 + "|"]
        rows = [(self._mean(index), index) for index in range(len(self.names))]
        for mean, index in sorted(rows, reverse=True)[:_LISTED]:
            off = self.off[:, index][~np.isnan(self.off[:, index])]
            middle = f"{np.median(off):.1f}" if len(off) else "-"
            lines.append(f"| {self.names[index]} | {len(off)} | {max(mean, 0):.2%} | {middle} |")
        if len(self.names) > _LISTED:
            lines += ["", f"The worst {_LISTED} of {len(self.names)} points."]
        return "\n".join(lines)

    def draw(self, folder: Path) -> list[str]:
        """errors.png: which share of the points is off by how much at most."""
        from matplotlib.figure import Figure

        shares = np.sort(self.shares[~np.isnan(self.shares)])
        if not len(shares):
            return []
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(100 * shares, 100 * (np.arange(len(shares)) + 1) / len(shares))
        axes.set(xlabel="error [% of the unit]", ylabel="points [%]", xlim=(0, 100 * max(2 * _NEAR, 1e-3)))
        figure.savefig(folder / "errors.png", dpi=100)
        return ["errors.png"]

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        order = np.argsort(-self.oks, kind="stable").tolist()
        return order[:count], order[::-1][:count]

    def caption(self, index: int) -> str:
        nme = self.nme[index]
        return f"OKS {self.oks[index]:.2f}" + ("" if np.isnan(nme) else f"\nNME {nme:.1%}")

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """The answer in green, with red lines to where the points truly are."""
        picture = picture.convert("RGB")
        draw, radius = ImageDraw.Draw(picture), max(1.0, max(picture.size) / 120)
        for found, truth in zip(self.found[index], self.truth[index], strict=True):
            if not np.isnan(truth).any():
                draw.line([tuple(found), tuple(truth)], _WRONG, max(1, round(radius / 2)))
            x, y = found
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_RIGHT)
        return picture

    def _mean(self, index: int) -> float:
        """Of the pictures where it is known; -1 where it is in none."""
        shares = self.shares[:, index]
        known = shares[~np.isnan(shares)]
        return float(known.mean()) if len(known) else -1.0


def _average_precision(right: np.ndarray, scores: np.ndarray) -> float:
    """right bool (N,), scores float64 (N,): one answer for each of N objects. COCO's mean over 101 recalls."""
    if not len(right):
        return float("nan")
    ranked = right[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(ranked)
    precision, recall = hits / np.arange(1, len(ranked) + 1), hits / len(ranked)
    best = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or a larger one
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.where(at < len(best), best[np.minimum(at, len(best) - 1)], 0).mean())
