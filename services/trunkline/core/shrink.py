"""Large pictures made smaller and RGB a few rows at a time, so that there is never a second one of their size."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image

from trunkline.core.errors import InvalidImageError

# Up to here a picture is converted, turned and resized whole; above, it is averaged over whole cells first.
LARGE_PIXELS: Final = 16_000_000
LARGE_BYTES: Final = 4 * LARGE_PIXELS  # of memory, as Pillow keeps RGB in four
_AT_ONCE = 500_000  # pixels


def shrinking(size: tuple[int, int], least: tuple[int, int] | None) -> tuple[int, int]:
    """By how much a picture of (width, height) is made smaller, across and down, and not below `least`."""
    if least is None or size[0] * size[1] <= LARGE_PIXELS:
        return 1, 1
    return max(1, size[0] // max(1, least[0])), max(1, size[1] // max(1, least[1]))


def shrink(picture: Image.Image, across: int, down: int) -> Image.Image:
    """Any mode to RGB of ceil(width / across) x ceil(height / down) pixels, each the mean of those that it covers.

    Raises InvalidImageError as `to_rgb` does.
    """
    width, height = picture.size
    small = Image.new("RGB", (-(-width // across), -(-height // down)))
    rows, tags = max(1, _AT_ONCE // width // down) * down, getattr(picture, "tag_v2", {})
    for top in range(0, height, rows):
        strip = to_rgb(picture.crop((0, top, width, min(height, top + rows))), tags)
        small.paste(strip.reduce((across, down)) if across > 1 or down > 1 else strip, (0, top // down))
    return small


def to_rgb(picture: Image.Image, tags: Mapping[int, Any] | None = None) -> Image.Image:
    """Any mode to RGB: 16-bit scaled by 1/257, alpha and transparent palettes over white, CMYK converted.

    tags: of the TIFF that the picture is a part of. Raises InvalidImageError for pixels that are floating-point,
    signed or 32-bit numbers.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode in ("I", "F"):
        raise InvalidImageError(
            "pictures of floating-point, signed or 32-bit numbers have no defined range; send 8 or 16 bits"
        )
    if picture.mode.startswith("I;16"):
        return _from_16_bit(picture, getattr(picture, "tag_v2", {}) if tags is None else tags)
    if picture.has_transparency_data:
        rgba = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        over = Image.new("RGB", rgba.size, "white")
        over.paste(rgba, mask=rgba)
        return over
    return picture.convert("RGB")


def _from_16_bit(picture: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    # A TIFF may have 12 bits, or 0 for white: Pillow leaves both to us.
    white = (1 << tags.get(ExifTags.Base.BitsPerSample, (16,))[0]) - 1
    to_8_bit = ((np.arange(1 << 16, dtype=np.uint32) * 255 + white // 2) // white).clip(max=255).astype(np.uint8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        to_8_bit = 255 - to_8_bit
    values = np.asarray(picture)  # (H, W) uint16
    gray = to_8_bit[values]
    if "transparency" in picture.info:
        gray[values == picture.info["transparency"]] = 255
    return Image.fromarray(gray).convert("RGB")
