"""Pictures that were never encoded: the bytes of their pixels behind a header, for arrays on their way to a service.

No format of files, and none that others write: the client and the gateway make it, `core.images` reads it. Header,
little-endian: 8 bytes that begin as no picture does, then width, height and channels (1 or 3), 4 bytes each.
"""

import struct

import numpy as np
import numpy.typing as npt

from trunkline.core.errors import InvalidImageError

_MAGIC = b"\x89TRLPIX\n"
_HEADER = struct.Struct("<8sIII")


def pack_pixels(pixels: npt.NDArray[np.uint8]) -> bytes:
    """uint8 (H, W, 3), (H, W, 1) or (H, W) -> bytes, at the cost of one copy."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    return b"".join([_HEADER.pack(_MAGIC, width, height, channels), np.ascontiguousarray(pixels).data])


def is_packed(data: bytes) -> bool:
    return data.startswith(_MAGIC)


def packed_size(data: bytes) -> tuple[int, int]:
    """(width, height) of packed pixels. Raises InvalidImageError where bytes and header do not fit each other."""
    width, height, _ = _shape(data)
    return width, height


def unpack_pixels(data: bytes) -> npt.NDArray[np.uint8]:
    """Read-only uint8 (H, W, 3) or (H, W) over these bytes. Raises InvalidImageError as `packed_size` does."""
    width, height, channels = _shape(data)
    pixels = np.frombuffer(data, np.uint8, offset=_HEADER.size)  # (H * W * channels,)
    return pixels.reshape((height, width, 3) if channels == 3 else (height, width))


def _shape(data: bytes) -> tuple[int, int, int]:
    if len(data) < _HEADER.size:
        raise InvalidImageError("the header of the pixels is cut off")
    _, width, height, channels = _HEADER.unpack_from(data)
    if channels not in (1, 3) or not width or not height:
        raise InvalidImageError(
            f"{width}x{height} pixels of {channels} values are not an image: send 1 or 3 values per pixel"
        )
    if len(data) != _HEADER.size + width * height * channels:
        raise InvalidImageError(
            f"{width}x{height} pixels of {channels} values take {width * height * channels} bytes, "
            f"not {len(data) - _HEADER.size}"
        )
    return width, height, channels
