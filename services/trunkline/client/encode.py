"""Whatever a caller holds as a picture, to encoded bytes.

Files and bytes are sent as they are, arrays as their pixels, which costs a copy. Large arrays and decoded pictures
are sent as PNG, which loses nothing either; level 1, since time matters more than size on the way to a service.
"""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trunkline.client.connection import MAX_MESSAGE_BYTES
from trunkline.client.errors import ServiceError
from trunkline.core.raw import pack_pixels
from trunkline.core.shrink import to_rgb

ImageLike = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray

_PNG_LEVEL = 1
_MOST_RAW_BYTES = 4 * 1024 * 1024  # beyond, the network is more likely to be what takes the time
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_REQUEST_OVERHEAD_BYTES = 64 * 1024  # head names and parameters travel in the same message


def encode_image(image: ImageLike) -> bytes:
    """Encoded bytes of a path, bytes, a PIL image, or a uint8 array (H, W, 3) in RGB or (H, W).

    The EXIF orientation of a PIL image is applied. Raises FileNotFoundError or another OSError for a file
    that cannot be read, TypeError or ValueError for what is no picture, ServiceError (IMAGE_TOO_LARGE) for
    what would not fit into a message.
    """
    match image:
        case bytes() | bytearray() | memoryview():
            data = bytes(image)
        case str() | os.PathLike():
            data = _read(Path(image))
        case Image.Image():
            data = _png(_storable(ImageOps.exif_transpose(image)))
        case np.ndarray():
            data = _of_array(_checked(image))
        case _:
            raise TypeError(
                f"a {type(image).__name__} is no picture: give a path, encoded bytes, a PIL image, or a "
                "numpy uint8 array of shape (H, W, 3) or (H, W)"
            )
    _check_size(len(data), "the picture")
    return data


def _read(path: Path) -> bytes:
    try:
        _check_size(path.stat().st_size, str(path))  # before a video is read into memory
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> OSError:
    if str(path)[:5].lower() == "data:":
        return FileNotFoundError("this is a data: URI, not a file: decode its base64 and send the bytes")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"there is no picture {path}")
    if isinstance(error, IsADirectoryError):
        return IsADirectoryError(f"{path} is a folder: name the pictures in it")
    return type(error)(f"{path} cannot be read: {error.strerror}")


def _check_size(size: int, what: str) -> None:
    limit = MAX_MESSAGE_BYTES - _REQUEST_OVERHEAD_BYTES
    if size > limit:
        raise ServiceError(
            "INVALID_ARGUMENT",
            "IMAGE_TOO_LARGE",
            f"{what} has {size} bytes; no more than {limit} can be sent",
            {"bytes": str(size), "limit_bytes": str(limit)},
        )


def _checked(array: np.ndarray) -> np.ndarray:
    """The array itself. Raises TypeError for its dtype, ValueError for its shape."""
    if array.dtype != np.uint8:
        raise TypeError(
            f"an array of {array.dtype} has no fixed range: scale it to 0..255 and convert it with .astype(np.uint8)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(
            f"an array of shape {array.shape} is no picture: give one of (H, W, 3) in RGB or (H, W), "
            "without a batch axis and with channels last"
        )
    if array.size == 0:
        raise ValueError(f"an array of shape {array.shape} has no pixels")
    return array


def _storable(picture: Image.Image) -> Image.Image:
    """The picture in a mode that PNG holds without loss; other modes become RGB as the service makes it."""
    if picture.mode in ("F", "I"):
        raise ValueError(
            f"a picture of mode {picture.mode} has no fixed range: "
            "scale it to 0..255 and convert it with .convert('L')"
        )
    if picture.width < 1 or picture.height < 1:
        raise ValueError(f"a picture of {picture.width}x{picture.height} has no pixels")
    return picture if picture.mode in _PNG_MODES else to_rgb(picture)


def _of_array(array: np.ndarray) -> bytes:
    return pack_pixels(array) if array.nbytes <= _MOST_RAW_BYTES else _png(Image.fromarray(array))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()
