"""The few numbers that the tables are made of."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Line(NamedTuple):
    """y = slope * x + start; `r2` is the share of the variance that the line explains."""

    slope: float
    start: float
    r2: float


def spread(values: Sequence[float], digits: int = 1, unit: str = "") -> str:
    """Median with (lowest to highest) of repeats; the value alone where there is one."""
    if not values:
        return ""
    middle = f"{statistics.median(values):.{digits}f}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares. Raises ValueError for fewer than two points."""
    if len(x) < 2:
        raise ValueError("a line needs two points")
    slope, start = np.polyfit(x, y, 1)
    rest = np.asarray(y) - (slope * np.asarray(x) + start)  # (points,)
    total = np.asarray(y) - np.mean(y)  # (points,)
    r2 = 1.0 - float(rest @ rest) / float(total @ total) if total.any() else 1.0
    return Line(float(slope), float(start), r2)


def growth_percent(series: Sequence[float], warm_share: float = 0.1) -> float:
    """Growth from the first tenth after the warm-up to the last tenth, medians, in percent."""
    after = list(series)[int(len(series) * warm_share) :]
    tenth = max(1, len(after) // 10)
    first, last = statistics.median(after[:tenth]), statistics.median(after[-tenth:])
    return 100 * (last / first - 1)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table. Raises ValueError where a row has another length than the heads."""
    if any(len(row) != len(heads) for row in rows):
        raise ValueError("a row has more or fewer cells than the table has columns")
    return [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *rows)]
