"""What decoding a picture takes in memory, by its header: formats differ by ten times for the same pixels."""

import math
from typing import Final

from PIL import ExifTags, Image

from trunkline.core.shrink import LARGE_PIXELS
from trunkline.core.sniff import jpeg_frame

_PIXEL_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_RGB_BYTES: Final = 4  # Pillow keeps RGB in four
# Measured with Pillow 13 by benchmarks/picture_memory.py, for each pixel, the picture itself included. WebP: two
# canvases and two copies of RGBA. AVIF: the planes, what AV1 keeps beside them, and two copies of what comes out.
_WEBP, _AVIF, _AVIF_ALPHA = 16.5, 11.5, 12.5
# Bytes for each of a strip or tile of a TIFF, which is read whole, by its compression; 1 for all others.
_TIFF_COPIES: Final = {"jpeg": 4.0, "zstd": 2.0, "lzma": 2.0, "webp": 4.0}


def decode_bytes(picture: Image.Image, data: bytes) -> int:
    """Bytes at the peak of decoding this picture, opened and not loaded, of the bytes `data`; after its `draft`."""
    pixels = picture.width * picture.height
    if picture.format == "WEBP":
        return int(_WEBP * pixels)
    if picture.format == "AVIF":
        return int((_AVIF_ALPHA if picture.mode == "RGBA" else _AVIF) * pixels)
    own = _own_bytes(picture)
    if picture.format in ("JPEG", "MPO"):
        return own + _jpeg_bytes(data)
    if picture.format == "TIFF":
        return own + _tiff_bytes(picture)
    return own + (pixels if picture.format in ("GIF", "BMP") and picture.mode == "P" else 0)


def shrink_bytes(picture: Image.Image, across: int, down: int, *, turned: bool) -> int:
    """Bytes at the peak of what follows: `shrink`, and turning upright where it is not."""
    pixels = picture.width * picture.height
    own, small = _own_bytes(picture), _RGB_BYTES * pixels // (across * down)
    if pixels <= LARGE_PIXELS:
        return 3 * small
    return own + small if turned or (across, down, picture.mode) != (1, 1, "RGB") else own


def _own_bytes(picture: Image.Image) -> int:
    return picture.width * picture.height * _PIXEL_BYTES.get(picture.mode, _RGB_BYTES)


def _jpeg_bytes(data: bytes) -> int:
    """A JPEG of several scans is kept as coefficients of two bytes, all of them, however small it is decoded."""
    frame = jpeg_frame(data)
    return 0 if frame is None or not frame.kept else 2 * frame.samples


def _tiff_bytes(picture: Image.Image) -> int:
    tags, compression = getattr(picture, "tag_v2", {}), picture.info.get("compression", "raw")
    base = ExifTags.Base
    turned = 0 if tags.get(base.Orientation, 1) == 1 else _own_bytes(picture)  # by Pillow, when it has been read
    if compression == "raw":
        return turned
    width = tags.get(base.TileWidth, picture.width)
    rows = tags.get(base.TileLength, min(tags.get(base.RowsPerStrip, picture.height), picture.height))
    bits = sum(tags.get(base.BitsPerSample, (1,)))
    strip = int(_TIFF_COPIES.get(compression, 1.0) * rows * math.ceil(width * bits / 8))
    return max(turned, strip)
