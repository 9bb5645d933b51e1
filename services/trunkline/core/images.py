"""Encoded bytes to upright 8-bit RGB pictures, with limits that hold before any pixel is allocated."""

import io
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import AvifImagePlugin, ExifTags, Image, ImageFile

from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.sniff import declared_size, scan_count

Area = tuple[float, float, float, float]
FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
_READABLE = "JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF"
# EXIF orientations that swap the axes, that begin at the right, and that begin at the bottom.
SWAPS_AXES = frozenset({5, 6, 7, 8})
_FROM_RIGHT = frozenset({2, 3, 6, 7})
_FROM_BOTTOM = frozenset({3, 4, 7, 8})
# EXIF orientation to what makes the picture upright.
_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The longest side of JPEG and GIF. A resize filter takes memory for each pixel of a side: 1.3 GB for 40,000,000x1.
_MAX_SIDE = 65_535
# Each scan of a JPEG is a pass over all of its pixels, and takes as little as 60 bytes; encoders write about ten.
_MAX_SCANS = 100
# Pillow keeps the transparent colour of a PNG in the file's own depth, but gives out pixels of 8 bits.
_KEY_TO_8_BIT: Final = {"L;2": 85.0, "L;4": 17.0, "RGB;16B": 1 / 256}

# Our own limit is checked on the header; Pillow's would come later and higher, as a warning or as an error.
Image.MAX_IMAGE_PIXELS = None
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # our workers are as many as there are cores
# Once for all threads: catch_warnings changes what the whole process sees, and threads leave it changed.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class ImageLimits:
    """What a picture may cost: encoded bytes, and pixels (width times height)."""

    max_bytes: int = 16 * 1024 * 1024
    max_pixels: int = 50_000_000


class EncodedImage:
    """A picture whose header was found within the limits, and whose pixels were not decoded yet, but for a PNG.

    `width` and `height` are in pixels, upright after EXIF, of the first frame or page. ICC profiles are not
    applied. Decodes once: `decode` consumes the picture, and sets `area`.

    area: (left, top, right, bottom) that the whole picture takes in what `decode` returned. A picture whose sides
    are no multiples of the reduction ends inside the last pixel.
    """

    def __init__(self, data: bytes, limits: ImageLimits | None = None) -> None:
        """Raises InvalidImageError for bytes that are no readable picture, ImageTooLargeError beyond the limits."""
        limits = limits or ImageLimits()
        _check_bytes(data, limits)
        _check_pixels(declared_size(data), limits)
        _check_scans(data)
        self._picture = _open(data)
        _check_pixels(self._picture.size, limits)
        _check_pixels(_tile_size(self._picture), limits)
        if self._picture.format == "PNG":
            self._load()  # a PNG may carry its EXIF behind the pixels
        self._orientation = orientation_of(self._picture)
        width, height = self._picture.size
        swapped = self._orientation in SWAPS_AXES
        self.width, self.height = (height, width) if swapped else (width, height)
        self.area: Area = (0.0, 0.0, float(self.width), float(self.height))

    def decode(self, least: tuple[int, int] | None = None) -> Image.Image:
        """The upright picture in mode RGB.

        With `least`, a (width, height) in the upright frame, a JPEG may come out smaller than it is, at 1/2, 1/4
        or 1/8 of its size, but not below `least`; that is several times faster for large photographs.
        Raises InvalidImageError where the data is damaged or cut off.
        """
        scale = 1.0
        if least is not None and self._picture.format in ("JPEG", "MPO"):
            stored_width = self._picture.width
            drafted = self._picture.draft(None, least[::-1] if self._orientation in SWAPS_AXES else least)
            scale = drafted[1][2] / stored_width if drafted else 1.0
        self._load()
        upright = _TRANSPOSE.get(self._orientation)
        picture = self._picture if upright is None else self._picture.transpose(upright)
        width, height = self.width * scale, self.height * scale
        left = picture.width - width if self._orientation in _FROM_RIGHT else 0.0
        top = picture.height - height if self._orientation in _FROM_BOTTOM else 0.0
        self.area = (left, top, left + width, top + height)
        return to_rgb(picture)

    def _load(self) -> None:
        try:
            self._picture.load()
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # decoders raise almost anything on damaged data
            raise InvalidImageError(f"the picture is damaged or cut off: {_first_line(error)}") from error


def decode_image(data: bytes, limits: ImageLimits | None = None) -> Image.Image:
    """The whole upright picture in mode RGB. Raises as EncodedImage does."""
    return EncodedImage(data, limits).decode()


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB: 16-bit scaled by 1/257, alpha and transparent palettes over white, CMYK converted.

    Raises InvalidImageError for pixels that are floating-point, signed or 32-bit numbers.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode in ("I", "F"):
        raise InvalidImageError(
            "pictures of floating-point, signed or 32-bit numbers have no defined range; send 8 or 16 bits"
        )
    if picture.mode.startswith("I;16"):
        return _from_16_bit(picture)
    if picture.has_transparency_data:
        rgba = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        over = Image.new("RGB", rgba.size, "white")
        over.paste(rgba, mask=rgba)
        return over
    return picture.convert("RGB")


def _from_16_bit(picture: Image.Image) -> Image.Image:
    tags = getattr(picture, "tag_v2", {})  # a TIFF may have 12 bits, or 0 for white: Pillow leaves both to us
    white = (1 << tags.get(ExifTags.Base.BitsPerSample, (16,))[0]) - 1
    to_8_bit = ((np.arange(1 << 16, dtype=np.uint32) * 255 + white // 2) // white).clip(max=255).astype(np.uint8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        to_8_bit = 255 - to_8_bit
    values = np.asarray(picture)  # (H, W) uint16
    gray = to_8_bit[values]
    if "transparency" in picture.info:
        gray[values == picture.info["transparency"]] = 255
    return Image.fromarray(gray).convert("RGB")


def _check_bytes(data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise InvalidImageError("the picture is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(
            f"the picture has {len(data)} bytes; the limit is {limits.max_bytes}",
            bytes=len(data),
            limit_bytes=limits.max_bytes,
        )


def _check_pixels(size: tuple[int, int] | None, limits: ImageLimits) -> None:
    if size is None:
        return
    if size[0] * size[1] > limits.max_pixels:
        raise ImageTooLargeError(
            f"the picture has {size[0]}x{size[1]} pixels; the limit is {limits.max_pixels} in all",
            width=size[0],
            height=size[1],
            limit_pixels=limits.max_pixels,
        )
    if max(size) > _MAX_SIDE:
        raise ImageTooLargeError(
            f"the picture has {size[0]}x{size[1]} pixels; the limit for a side is {_MAX_SIDE}",
            width=size[0],
            height=size[1],
            limit_side=_MAX_SIDE,
        )


def _check_scans(data: bytes) -> None:
    scans = scan_count(data)
    if scans > _MAX_SCANS:
        raise ImageTooLargeError(
            f"the JPEG has {scans} scans; the limit is {_MAX_SCANS}: save it as a baseline JPEG",
            scans=scans,
            limit_scans=_MAX_SCANS,
        )


def _tile_size(picture: Image.Image) -> tuple[int, int] | None:
    """Size of a tile of a tiled TIFF; it may be larger than the picture, and is decoded whole."""
    tags = getattr(picture, "tag_v2", {})
    width, height = tags.get(ExifTags.Base.TileWidth), tags.get(ExifTags.Base.TileLength)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # header parsers raise almost anything on damaged data
        raise InvalidImageError(f"not a picture that can be read: send {_READABLE}") from error
    if picture.width < 1 or picture.height < 1:
        raise InvalidImageError("the picture has no pixels")
    if picture.format == "TIFF":
        picture.info.pop("xmp", None)  # Pillow would turn by an orientation in it, after telling another size
    if picture.format == "PNG" and "transparency" in picture.info:
        _scale_transparency(picture)
    return picture


def _scale_transparency(picture: ImageFile.ImageFile) -> None:
    key, factor = picture.info["transparency"], _KEY_TO_8_BIT.get(str(picture.tile[0].args))
    if factor is None:
        return
    picture.info["transparency"] = (
        tuple(int(v * factor) for v in key) if isinstance(key, tuple) else int(key * factor)
    )


def orientation_of(picture: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where it is absent, illegal or unreadable."""
    if picture.format == "TIFF":
        return 1  # Pillow turns TIFFs by itself
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF must not cost a good picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:120] if text else type(error).__name__
