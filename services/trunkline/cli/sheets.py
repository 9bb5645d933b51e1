"""Filters and feature maps as pictures, side by side."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

_CELL, _GAP = 96, 4  # pixels
_GROUND = (22, 24, 29)
# From nothing to the strongest place of a map.
_SCALE = np.array([(10, 10, 30), (110, 25, 100), (235, 90, 30), (255, 245, 150)], float)


def filter_sheet(filters: np.ndarray) -> Image.Image:
    """float (O, I, h, w) -> RGB: each filter in the colours that it looks for, gray for what it does not mind.

    With other than three input channels, the mean of all.
    """
    shown = filters if filters.shape[1] == 3 else filters.mean(axis=1, keepdims=True).repeat(3, axis=1)
    reach = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)  # (O, 1, 1, 1)
    scaled = 0.5 + 0.5 * shown / np.maximum(reach, 1e-12)  # (O, 3, h, w), 0 to 1
    pictures = np.rint(255 * scaled.transpose(0, 2, 3, 1)).astype(np.uint8)  # (O, h, w, 3)
    return _sheet([Image.fromarray(each) for each in pictures])


def map_sheet(maps: np.ndarray, most: int) -> Image.Image:
    """float (C, h, w) -> RGB: the maps that differ most between their places, each on a scale of its own."""
    spread = maps.std(axis=(1, 2))  # (C,)
    best = np.sort(np.argsort(-spread, kind="stable")[:most])
    return _sheet([_coloured(maps[index]) for index in best])


def _coloured(map_: np.ndarray) -> Image.Image:
    """float (h, w) -> RGB."""
    low, high = float(map_.min()), float(map_.max())
    share = (map_ - low) / max(high - low, 1e-12)  # (h, w), 0 to 1
    at = np.linspace(0, 1, len(_SCALE))
    colours = np.stack([np.interp(share, at, _SCALE[:, channel]) for channel in range(3)], axis=-1)  # (h, w, 3)
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def _sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """In as square a grid as their number allows, each enlarged to the same size, its pixels as squares."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    step = _CELL + _GAP
    sheet = Image.new("RGB", (columns * step + _GAP, rows * step + _GAP), _GROUND)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        enlarged = picture.resize((_CELL, _CELL), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (_GAP + column * step, _GAP + row * step))
    return sheet
