"""Pictures as they are kept: what no decoder looks at stays out, so that nobody's rubbish takes the disk."""

import hashlib
import io
from typing import Final

from PIL import Image

from trunkline.core.errors import InvalidImageError
from trunkline.core.images import FORMATS, ImageLimits, decode_image
from trunkline.core.raw import is_packed
from trunkline.galleries.cutting import METADATA_BYTES, cut

_STRIP: Final = 256  # rows that are looked at together
_ANY_PIXELS: Final = 1 << 40  # the limit was checked when the picture was embedded


def kept_picture(data: bytes) -> bytes:
    """An encoded picture, as it is, or without what stands behind its end and what is too much beside its pixels.

    It decodes to the same upright picture bit by bit, and has at most 3 bytes for each pixel and METADATA_BYTES:
    what cannot be cut becomes a PNG. Raises InvalidImageError for what is no picture.
    """
    if is_packed(data):  # a header, and the pixels themselves
        return data
    most = _pixel_bytes(data) + METADATA_BYTES
    lean = cut(data)
    if lean == data and len(data) <= most:
        return data
    if lean is not None and len(lean) <= most and _looks(lean) == _looks(data):
        return lean
    return _png(data)


def _pixel_bytes(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            return 3 * picture.width * picture.height
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # header parsers raise almost anything on damaged data
        raise InvalidImageError("not a picture that can be kept") from error


def _looks(data: bytes) -> tuple[int, int, bytes] | None:
    """Size and digest of the upright picture; None where it cannot be decoded."""
    try:
        picture = _decoded(data)
    except InvalidImageError:
        return None
    digest = hashlib.sha256()
    for top in range(0, picture.height, _STRIP):
        digest.update(picture.crop((0, top, picture.width, min(top + _STRIP, picture.height))).tobytes())
    return picture.width, picture.height, digest.digest()


def _png(data: bytes) -> bytes:
    buffer = io.BytesIO()
    picture = _decoded(data)
    picture.info = {}  # Pillow would write profiles and texts again
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _decoded(data: bytes) -> Image.Image:
    return decode_image(data, ImageLimits(max(1, len(data)), _ANY_PIXELS))
