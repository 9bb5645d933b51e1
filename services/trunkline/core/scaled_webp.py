"""A large WebP at a smaller size, straight from libwebp: Pillow's way takes 16 bytes a pixel, this at most 4.

libwebp is the one that Pillow has loaded. Source: webp/decode.h, whose version of the interface is checked.
"""

import ctypes
import functools
import importlib
from collections.abc import Callable
from typing import Any, Final

from PIL import Image

from trunkline.core.errors import InvalidImageError

_ABI: Final = 0x0209  # WEBP_DECODER_ABI_VERSION: what has the same upper byte fits
_RGBA: Final = 1  # MODE_RGBA
_LOSSLESS: Final = 2
# Bytes for each pixel: a lossless picture is kept whole, of a lossy one its alpha, which is a lossless one of bytes.
_WHOLE, _ALPHA, _ROWS = 4.5, 2.5, 0.5


class _Features(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("width", "height", "has_alpha", "has_animation", "format")] + [
        ("pad", ctypes.c_uint32 * 5)
    ]


class _Output(ctypes.Structure):
    """WebPDecBuffer, of whose union the RGBA side is used; `rest` is what the other side has more."""

    _fields_ = [
        *[(name, ctypes.c_int) for name in ("colorspace", "width", "height", "is_external_memory")],
        ("rgba", ctypes.c_void_p),
        ("stride", ctypes.c_int),
        ("size", ctypes.c_size_t),
        ("rest", ctypes.c_uint8 * (4 * 8 + 4 * 4 + 4 * 8 - 24)),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    ]


class _Options(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int) for name in ("bypass_filtering", "no_fancy_upsampling", "use_cropping")],
        *[(name, ctypes.c_int) for name in ("crop_left", "crop_top", "crop_width", "crop_height")],
        *[(name, ctypes.c_int) for name in ("use_scaling", "scaled_width", "scaled_height", "use_threads")],
        *[(name, ctypes.c_int) for name in ("dithering_strength", "flip", "alpha_dithering_strength")],
        ("pad", ctypes.c_uint32 * 5),
    ]


class _Config(ctypes.Structure):
    _fields_ = [("input", _Features), ("output", _Output), ("options", _Options)]


def scaled_webp(data: bytes, size: tuple[int, int], check: Callable[[int], None]) -> Image.Image | None:
    """The picture at this (width, height), RGBA, each pixel the mean of those that it covers.

    None where it is animated, or where libwebp cannot be had. `check` is told the bytes that it will take, and may
    raise. Raises InvalidImageError for damaged data.
    """
    library, config = _library(), _Config()
    if library is None or not library.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI):
        return None
    found = config.input
    if library.WebPGetFeaturesInternal(data, len(data), ctypes.byref(found), _ABI) or found.has_animation:
        return None
    each = _WHOLE if found.format == _LOSSLESS else _ROWS + (_ALPHA if found.has_alpha else 0)
    check(int(each * found.width * found.height) + 4 * size[0] * size[1])
    pixels = bytearray(4 * size[0] * size[1])
    kept = (ctypes.c_uint8 * len(pixels)).from_buffer(pixels)
    options, output = config.options, config.output
    options.use_scaling, options.scaled_width, options.scaled_height = 1, *size
    output.colorspace, output.is_external_memory = _RGBA, 1
    output.rgba, output.stride, output.size = ctypes.addressof(kept), 4 * size[0], len(pixels)
    status = library.WebPDecode(data, len(data), ctypes.byref(config))
    library.WebPFreeDecBuffer(ctypes.byref(output))
    if status:
        raise InvalidImageError(f"the picture is damaged or cut off: libwebp says {status}")
    return Image.frombytes("RGBA", size, pixels)


@functools.cache
def _library() -> Any:
    """libwebp, found through the part of Pillow that is linked with it; None where its names are not to be seen."""
    try:
        library = ctypes.CDLL(importlib.import_module("PIL._webp").__file__)
        bytes_, size, pointer, number = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
        library.WebPInitDecoderConfigInternal.argtypes = [pointer, number]
        library.WebPGetFeaturesInternal.argtypes = [bytes_, size, pointer, number]
        library.WebPDecode.argtypes = [bytes_, size, pointer]
        library.WebPFreeDecBuffer.argtypes = [pointer]
    except (AttributeError, ImportError, OSError):
        return None
    return library
