"""Antialiased resize of a part of a picture, with SIMD where that can be had, else by Pillow.

Both compute the same filter. They round differently, on photographs by one level in about one value of seven, without
a bias; and they clip between their two passes in another order, which shows in single values beside hard edges.
"""

import math
from typing import Final, Literal

import PIL
from PIL import Image

from trunkline.core.images import Area

try:
    import cykooz_resizer as simd
except ImportError:  # has no wheel for every machine
    simd = None

Filter = Literal["bicubic", "bilinear"]
_PILLOW: Final = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_SIMD: Final = {"bicubic": "catmull_rom", "bilinear": "bilinear"}
# It reads the pixels where Pillow has them, so it is trusted with the versions of Pillow that it was tried with.
_TRIED: Final = frozenset({"12", "13"})
IS_SIMD: Final = simd is not None and PIL.__version__.partition(".")[0] in _TRIED


def resize(picture: Image.Image, size: tuple[int, int], kind: Filter, box: Area) -> Image.Image:
    """The part `box` (left, top, right, bottom; in pixels, inside the picture) at `size`, (width, height).

    The picture is in mode RGB, L or F. Pixels around the box take part in the filter.
    """
    if size == picture.size and box == (0.0, 0.0, *picture.size):
        return picture
    if not IS_SIMD:
        return picture.resize(size, _PILLOW[kind], box=box)
    resized = Image.new(picture.mode, size)
    algorithm = simd.ResizeAlg.convolution(simd.FilterType[_SIMD[kind]])
    options = simd.ResizeOptions(algorithm, crop_box=_crop(box))
    simd.Resizer().resize_pil(picture, resized, options)  # one for each call: it locks, and keeps its memory
    return resized


def _crop(box: Area) -> "simd.CropBox":
    left, top, right, bottom = box
    return simd.CropBox(left, top, _length(left, right), _length(top, bottom))


def _length(begin: float, end: float) -> float:
    """The largest length that rounding does not carry past the end: it would be outside the picture."""
    length = end - begin
    return length if begin + length <= end else math.nextafter(end, begin) - begin
