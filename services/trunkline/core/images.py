"""Encoded bytes to upright 8-bit RGB pictures, with limits that hold before any pixel is allocated."""

import io
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin, ExifTags, Image, ImageFile

from trunkline.core.decode_cost import decode_bytes, shrink_bytes
from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.jpeg_end import with_end
from trunkline.core.raw import is_packed, packed_size, unpack_pixels
from trunkline.core.scaled_avif import scaled_avif
from trunkline.core.scaled_webp import scaled_webp
from trunkline.core.shrink import LARGE_BYTES, LARGE_PIXELS, shrink, shrinking, to_rgb
from trunkline.core.sniff import declared_size, scan_count
from trunkline.core.tiff_lines import one_line

DECODE_BYTES_PER_PIXEL: Final = 6
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
_SURPRISE = 3  # times what is let in as no large picture: so much the look at the header may be wrong
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

    @property
    def decode_bytes(self) -> int:
        """Memory that decoding one picture may take. Follows from the pixels: formats differ in what they need."""
        return max(LARGE_BYTES, DECODE_BYTES_PER_PIXEL * self.max_pixels)


class EncodedImage:
    """A picture whose header was found within the limits, and whose pixels were not decoded yet, but for a PNG.

    `width` and `height` are in pixels, upright after EXIF, of the first frame or page. ICC profiles are not
    applied. Decodes once: `decode` consumes the picture, and sets `area`.

    area: (left, top, right, bottom) that the whole picture takes in what `decode` returned. A picture whose sides
    are no multiples of the reduction ends inside the last pixel.
    completed: whether it is a JPEG whose end marker was missing, and no more than that; known once it is decoded.
    pixels: of a picture that was never encoded, read-only uint8 (H, W, 3) or (H, W); None for all others.
    """

    def __init__(self, data: bytes, limits: ImageLimits | None = None, foreseen_bytes: int | None = None) -> None:
        """foreseen_bytes: memory that decoding was let in for, by a look at the header.

        Raises InvalidImageError for bytes that are no readable picture, ImageTooLargeError beyond the limits.
        """
        self._foreseen_bytes = LARGE_BYTES if foreseen_bytes is None else foreseen_bytes
        self._limits = limits = limits or ImageLimits()
        self._data = data
        _check_bytes(data, limits)
        self.completed = False
        self._drafted: tuple[int, int] | None = None
        self.pixels: npt.NDArray[np.uint8] | None = None
        if is_packed(data):
            self.width, self.height = packed_size(data)
            _check_pixels((self.width, self.height), limits)
            self.pixels = unpack_pixels(data)
        else:
            self._open(data, limits)
        self.area: Area = (0.0, 0.0, float(self.width), float(self.height))

    def _open(self, data: bytes, limits: ImageLimits) -> None:
        _check_pixels(declared_size(data), limits)
        _check_scans(data)
        self._picture = _open(data)
        _check_pixels(self._picture.size, limits)
        _check_pixels(_tile_size(self._picture), limits)
        self._format, self._size = self._picture.format, self._picture.size
        if self._picture.format == "PNG":
            self._load()  # a PNG may carry its EXIF behind the pixels
        self._orientation = orientation_of(self._picture)
        width, height = self._picture.size
        swapped = self._orientation in SWAPS_AXES
        self.width, self.height = (height, width) if swapped else (width, height)

    def decode(self, least: tuple[int, int] | None = None) -> Image.Image:
        """The upright picture in mode RGB.

        With `least`, a (width, height) in the upright frame, a JPEG may come out smaller than it is, at 1/2, 1/4
        or 1/8 of its size, but not below `least`; that is several times faster for large photographs. So may, by
        whole numbers, any picture of more than LARGE_PIXELS.
        Raises InvalidImageError where the data is damaged or cut off, ImageTooLargeError where decoding would take
        more memory than the limits allow.
        """
        if self.pixels is not None:
            return to_rgb(Image.fromarray(self.pixels))
        stored_least = least[::-1] if least is not None and self._orientation in SWAPS_AXES else least
        picture, scales = self._small(stored_least)
        upright = _TRANSPOSE.get(self._orientation)
        if upright is not None:
            picture = picture.transpose(upright)
        if self._orientation in SWAPS_AXES:
            scales = scales[::-1]
        width, height = self.width * scales[0], self.height * scales[1]
        left = picture.width - width if self._orientation in _FROM_RIGHT else 0.0
        top = picture.height - height if self._orientation in _FROM_BOTTOM else 0.0
        self.area = (left, top, left + width, top + height)
        return picture

    def _small(self, least: tuple[int, int] | None) -> tuple[Image.Image, tuple[float, float]]:
        """RGB as it is stored, not below `least`, and by how much its sides are smaller."""
        scaled = self._scaled(least)
        if scaled is not None:
            del self._picture
            return scaled
        scale = self._draft(least)
        self._load()
        picture: Image.Image = self._picture
        del self._picture  # what was decoded goes as soon as it was converted
        across, down = shrinking(picture.size, least)
        self._check_memory(shrink_bytes(picture, across, down, turned=self._orientation in _TRANSPOSE))
        if picture.width * picture.height > LARGE_PIXELS and (across, down, picture.mode) != (1, 1, "RGB"):
            picture = shrink(picture, across, down)
        else:
            picture = to_rgb(picture)
        return picture, (scale / across, scale / down)

    def _scaled(self, least: tuple[int, int] | None) -> tuple[Image.Image, tuple[float, float]] | None:
        """As `_small`, of a large picture of a format that takes less when its library is asked for it smaller."""
        across, down = shrinking(self._size, least)
        if across * down == 1:
            return None
        if self._format == "WEBP":
            size = (-(-self._size[0] // across), -(-self._size[1] // down))
            webp = scaled_webp(self._data, size, self._check_memory)
            if webp is not None:
                return to_rgb(webp), (size[0] / self._size[0], size[1] / self._size[1])
        if self._format == "AVIF":
            alpha = self._picture.mode == "RGBA"
            avif = scaled_avif(self._data, self._size, (across, down), self._check_memory, alpha=alpha)
            if avif is not None:
                return avif, (1 / across, 1 / down)
        return None

    def _draft(self, least: tuple[int, int] | None) -> float:
        """Have a JPEG decoded smaller, but not below `least`; by how much."""
        if least is None or self._picture.format not in ("JPEG", "MPO"):
            return 1.0
        self._drafted = least
        stored_width = self._picture.width
        drafted = self._picture.draft(None, least)
        return drafted[1][2] / stored_width if drafted else 1.0

    def _check_memory(self, needed: int) -> None:
        if needed > _SURPRISE * LARGE_BYTES and self._foreseen_bytes < LARGE_BYTES:
            raise InvalidImageError("the picture's header declares more than one size")
        limit = self._limits.decode_bytes
        if needed > limit:
            size = f"{self._size[0]}x{self._size[1]}"
            raise ImageTooLargeError(
                f"decoding this {self._format} of {size} pixels takes {needed} bytes; the limit is {limit}: "
                "send fewer pixels, or a baseline JPEG",
                width=self._size[0],
                height=self._size[1],
                memory_bytes=needed,
                limit_memory_bytes=limit,
            )

    def _load(self) -> None:
        try:
            needed = decode_bytes(self._picture, self._data)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise InvalidImageError("the picture is damaged: its header has values of another type") from error
        self._check_memory(needed)
        try:
            with one_line():
                self._picture.load()
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # decoders raise almost anything on damaged data
            if self._complete():
                self._load()
            else:
                raise InvalidImageError(f"the picture is damaged or cut off: {_first_line(error)}") from error

    def _complete(self) -> bool:
        """Put the end marker behind a JPEG that lacks nothing else; whether that could be done."""
        whole = None if self.completed or self._picture.format != "JPEG" else with_end(self._data)
        if whole is None:
            return False
        self.completed, self._data = True, whole
        self._picture = _open(whole)
        if self._drafted is not None:
            self._picture.draft(None, self._drafted)
        return True


def decode_image(data: bytes, limits: ImageLimits | None = None) -> Image.Image:
    """The whole upright picture in mode RGB. Raises as EncodedImage does."""
    return EncodedImage(data, limits).decode()


def _check_bytes(data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise InvalidImageError("the picture is empty (0 bytes)")
    if data[:5].lower() == b"data:":
        raise InvalidImageError("this is a data: URI, not an image: decode its base64 and send the bytes")
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
    if text and text[0].startswith("image file is truncated"):
        return "its data ends before its last pixel"  # the bytes that Pillow names are not those that lack
    return text[0][:120] if text else type(error).__name__
