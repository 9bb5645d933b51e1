"""Preprocessing that suits the shapes of pictures."""

from collections.abc import Sequence

import numpy as np

from trunkline.core.preprocess import STRIDE, PreprocessSpec

_SIDE = 512  # pixels of the longer side
_SAME = 0.05  # relative difference of ratios that squashing may hide
_MOST_SAME = 0.95  # share of the pictures that must be so


def spec_for(sizes: Sequence[tuple[int, int]]) -> PreprocessSpec:
    """sizes: (width, height) of pictures, of the longer side 512 then.

    Pictures of one ratio are squashed to it, or to the next multiple of 32; others are padded to a square, so that
    shapes stay what they are.
    """
    ratios = np.array([width / height for width, height in sizes])
    usual = float(np.median(ratios))
    if (np.abs(ratios / usual - 1) <= _SAME).mean() < _MOST_SAME:
        return PreprocessSpec(resize="pad", width=_SIDE, height=_SIDE)
    width, height = (_SIDE, _SIDE / usual) if usual >= 1 else (_SIDE * usual, _SIDE)
    return PreprocessSpec(resize="squash", width=_multiple(width), height=_multiple(height))


def _multiple(side: float) -> int:
    return max(STRIDE, STRIDE * round(side / STRIDE))
