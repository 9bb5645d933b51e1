"""A large AVIF at a smaller size, straight from libavif: Pillow's way takes 9 to 12 bytes a pixel, this 3 to 5.

libavif is the one that Pillow has loaded, version 1, in which those parts of its structs that are used stay in place.
Source: avif/avif.h.
"""

import ctypes
import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from PIL import Image

from trunkline.core.errors import InvalidImageError
from trunkline.core.shrink import to_rgb

_STRICT_FLAGS, _IMAGE = 40, 48  # bytes into avifDecoder
_WIDTH, _HEIGHT, _DEPTH, _FORMAT = 0, 4, 8, 12  # into avifImage and avifRGBImage
_PIXELS, _ROW_BYTES, _MOST = 48, 56, 512  # into avifRGBImage, and more than it has
_RGBA: Final = 1  # AVIF_RGB_FORMAT_RGBA
_PLANES: Final = {1: 3.0, 2: 2.0, 3: 1.5, 4: 1.0}  # samples of a pixel: 4:4:4, 4:2:2, 4:2:0, 4:0:0
_AT_ONCE = 500_000  # pixels
_BESIDE = 1.6  # bytes for each pixel that the decoder of AV1 keeps beside the planes, and of their filters


def scaled_avif(
    data: bytes, full: tuple[int, int], by: tuple[int, int], check: Callable[[int], None], *, alpha: bool
) -> Image.Image | None:
    """The first frame, of the size `full`, as RGB; each pixel the mean of `by`, across and down.

    None where libavif cannot be had or is not as expected. `check` is told the bytes that it will take, and may
    raise. Raises InvalidImageError for damaged data.
    """
    library = _library()
    if library is None:
        return None
    with _decoder(library) as decoder:
        ctypes.c_uint32.from_address(decoder + _STRICT_FLAGS).value = 0  # as Pillow has opened it
        if library.avifDecoderSetIOMemory(decoder, data, len(data)) or library.avifDecoderParse(decoder):
            return None
        image = ctypes.c_void_p.from_address(decoder + _IMAGE).value
        if not image or (_number(image, _WIDTH), _number(image, _HEIGHT)) != full:
            return None
        samples = _PLANES.get(_number(image, _FORMAT), 3.0) + alpha
        bytes_each = samples * (1 if _number(image, _DEPTH) <= 8 else 2) + _BESIDE
        check(int(bytes_each * full[0] * full[1]) + 4 * full[0] * full[1] // (by[0] * by[1]))
        _done(library, library.avifDecoderNextImage(decoder))
        image = ctypes.c_void_p.from_address(decoder + _IMAGE).value
        return None if image is None else _shrunk(library, image, full, by)


def _shrunk(library: Any, image: int, full: tuple[int, int], by: tuple[int, int]) -> Image.Image:
    small = Image.new("RGB", (-(-full[0] // by[0]), -(-full[1] // by[1])))
    rows = max(1, _AT_ONCE // full[0] // (2 * by[1])) * 2 * by[1]  # even, as two rows may share their colours
    for top in range(0, full[1], rows):
        strip = to_rgb(_strip(library, image, (0, top, full[0], min(rows, full[1] - top))))
        small.paste(strip.reduce(by), (0, top // by[1]))
    return small


def _strip(library: Any, image: int, rectangle: tuple[int, int, int, int]) -> Image.Image:
    """(left, top, width, height) of an image in planes, as RGBA."""
    view = library.avifImageCreateEmpty()
    if not view:
        raise MemoryError
    try:
        _done(library, library.avifImageSetViewRect(view, image, (ctypes.c_uint32 * 4)(*rectangle)))
        return _as_rgba(library, view, rectangle[2:])
    finally:
        library.avifImageDestroy(view)


def _as_rgba(library: Any, image: int, size: tuple[int, int]) -> Image.Image:
    rgb = ctypes.create_string_buffer(_MOST)
    library.avifRGBImageSetDefaults(rgb, image)
    at = ctypes.addressof(rgb)
    ctypes.c_uint32.from_address(at + _DEPTH).value = 8
    ctypes.c_uint32.from_address(at + _FORMAT).value = _RGBA
    _done(library, library.avifRGBImageAllocatePixels(rgb))
    try:
        _done(library, library.avifImageYUVToRGB(image, rgb))
        rows = _number(at, _ROW_BYTES)
        pixels = ctypes.string_at(ctypes.c_void_p.from_address(at + _PIXELS).value or 0, rows * size[1])
    finally:
        library.avifRGBImageFreePixels(rgb)
    return Image.frombytes("RGBA", size, pixels, "raw", "RGBA", rows)


@contextmanager
def _decoder(library: Any) -> Iterator[int]:
    decoder: int | None = library.avifDecoderCreate()
    if not decoder:
        raise MemoryError
    try:
        yield decoder
    finally:
        library.avifDecoderDestroy(decoder)


def _number(struct: int, at: int) -> int:
    return int(ctypes.c_uint32.from_address(struct + at).value)


def _done(library: Any, result: int) -> None:
    if result:
        says = library.avifResultToString(result).decode()
        raise InvalidImageError(f"the picture is damaged or cut off: libavif says {says}")


@functools.cache
def _library() -> Any:
    """libavif, found through the part of Pillow that is linked with it; None where its names are not to be seen."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return None  # the places above are those of 64 bits
    try:
        library = ctypes.CDLL(importlib.import_module("PIL._avif").__file__)
        library.avifVersion.restype = library.avifResultToString.restype = ctypes.c_char_p
        if not library.avifVersion().startswith(b"1."):
            return None
        pointer = ctypes.c_void_p
        library.avifDecoderCreate.restype = pointer
        library.avifDecoderDestroy.argtypes = library.avifDecoderParse.argtypes = [pointer]
        library.avifDecoderNextImage.argtypes = library.avifRGBImageAllocatePixels.argtypes = [pointer]
        library.avifDecoderSetIOMemory.argtypes = [pointer, ctypes.c_char_p, ctypes.c_size_t]
        library.avifImageCreateEmpty.restype = pointer
        library.avifImageDestroy.argtypes = [pointer]
        library.avifImageSetViewRect.argtypes = [pointer, pointer, pointer]
        library.avifRGBImageSetDefaults.argtypes = library.avifImageYUVToRGB.argtypes = [pointer, pointer]
        library.avifRGBImageFreePixels.argtypes = [pointer]
    except (AttributeError, ImportError, OSError):
        return None
    return library
