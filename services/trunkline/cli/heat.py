"""Heat maps over pictures: warm where a place speaks for an answer, cold where it speaks against it."""

import numpy as np
from PIL import Image

from trunkline.core.colours import Colour
from trunkline.core.explaining import HeatMap

FOR: Colour = (255, 120, 0)
AGAINST: Colour = (40, 110, 255)
_BRIGHT: Colour = (255, 240, 90)  # what speaks for it most
_COVER = 0.8  # of the strongest place
_DIMMED = 0.6  # of the picture's own colours, so that those of the map can be told from them


def over(picture: Image.Image, heat: HeatMap, scale: tuple[float, float]) -> Image.Image:
    """RGB -> RGB of the same size. scale: (x, y), pixels of it for each one of the caller's picture."""
    placed = HeatMap(
        heat.values, heat.left * scale[0], heat.top * scale[1], heat.right * scale[0], heat.bottom * scale[1]
    )
    values = placed.over(picture.width, picture.height)  # (H, W)
    values = values / max(float(np.abs(heat.values).max()), 1e-12)
    cover = (_COVER * np.abs(values).clip(0, 1) ** 1.25)[..., None]  # (H, W, 1)
    warm = np.array(FOR) + (np.array(_BRIGHT) - np.array(FOR)) * values.clip(0, 1)[..., None]  # (H, W, 3)
    colours = np.where(values[..., None] >= 0, warm, np.array(AGAINST))  # (H, W, 3)
    pixels = np.asarray(picture, np.float64)  # (H, W, 3)
    gray = pixels.mean(axis=2, keepdims=True)  # (H, W, 1)
    dimmed = gray + _DIMMED * (pixels - gray)  # (H, W, 3)
    return Image.fromarray(np.rint(dimmed * (1 - cover) + colours * cover).clip(0, 255).astype(np.uint8))
