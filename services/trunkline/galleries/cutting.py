"""Cuts encoded pictures: what stands behind their end, and metadata beyond a bound. Pixels are not touched.

The result is checked by whoever calls: a picture that does not decode as before is not cut, but encoded anew.
"""

import io
import re
import struct
from collections.abc import Callable, Iterator
from typing import Final

from PIL import ExifTags, Image

# Beside the pixels of a picture: more than cameras write with a small preview.
METADATA_BYTES: Final = 128 * 1024
_MOST_PARTS: Final = 20_000  # of a file: a hostile one has millions
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # that ends the coded data of a scan
_PNG_KEPT: Final = frozenset({b"tRNS", b"eXIf", b"sBIT", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"bKGD"})
_AVIF_KEPT: Final = frozenset({b"ftyp", b"meta", b"mdat", b"moov"})
_WEBP_KEPT: Final = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"EXIF"})


class _UncutError(Exception):
    """It has parts that cannot be told from each other, or too many."""


def cut(data: bytes) -> bytes | None:
    """Without what is not needed; the same bytes where all is. None for what should be encoded anew instead."""
    try:
        for begin, cutter in _CUTTERS:
            if begin.match(data):
                return cutter(data)
    except (_UncutError, struct.error, IndexError):
        return None
    return data


def _jpeg(data: bytes) -> bytes:
    parts = list(_jpeg_parts(data))
    metadata = sum(len(part) for kind, part in parts if kind == 0xFE or 0xE0 <= kind <= 0xEF)
    if metadata <= METADATA_BYTES:
        return b"".join(part for _, part in parts)
    kept, seen = [], set()
    for kind, part in parts:
        needed = (kind in (0xE0, 0xEE) or (kind == 0xE1 and part[4:8] == b"Exif")) and kind not in seen
        if needed or not (kind == 0xFE or 0xE0 <= kind <= 0xEF):
            kept.append(part)
        seen.add(kind if needed else -1)
    return b"".join(kept)


def _jpeg_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker with its segment and, of a scan, the coded data, up to the end of the picture."""
    yield 0xD8, data[:2]
    at = 2
    for _ in range(_MOST_PARTS):
        if at >= len(data):
            return  # decoders make up for an end that is missing
        if data[at] != 0xFF:
            raise _UncutError
        kind = data[at + 1]
        if kind == 0xD9:
            yield kind, data[at : at + 2]
            return
        if kind in (0x01, 0xFF) or 0xD0 <= kind <= 0xD7:
            end = at + (1 if kind == 0xFF else 2)
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xDA:
            found = _JPEG_MARKER.search(data, end)
            end = found.start() if found else len(data)
        yield kind, data[at:end]
        at = end
    raise _UncutError


def _png(data: bytes) -> bytes:
    parts = []
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        parts.append((kind, data[at : at + size + 12]))
        at += size + 12
        if kind == b"IEND":
            break
        if len(parts) > _MOST_PARTS:
            raise _UncutError
    further = sum(len(part) for kind, part in parts if kind[0] & 0x20)  # a small letter: decoders may leave it out
    if further > METADATA_BYTES:
        parts = [(kind, part) for kind, part in parts if not kind[0] & 0x20 or kind in _PNG_KEPT]
    return data[:8] + b"".join(part for _, part in parts)


def _webp(data: bytes) -> bytes:
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    parts = list(_webp_parts(data, end))
    frames = sum(kind == b"ANMF" for kind, _ in parts)
    beside = sum(len(part) for kind, part in parts if kind not in _WEBP_KEPT or kind == b"EXIF")
    if frames < 2 and beside <= METADATA_BYTES:
        return data[: end + end % 2]
    parts = [(kind, part) for kind, part in parts if kind in _WEBP_KEPT]
    first = next((row for row, (kind, _) in enumerate(parts) if kind == b"ANMF"), len(parts))
    parts = parts[: first + 1] + [each for each in parts[first + 1 :] if each[0] != b"ANMF"]
    body = b"WEBP" + b"".join(_without_flags(part) if kind == b"VP8X" else part for kind, part in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_parts(data: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    for _ in range(_MOST_PARTS):
        if at + 8 > end:
            return
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, data[at : at + 8 + size + size % 2]
        at += 8 + size + size % 2
    raise _UncutError


def _without_flags(header: bytes) -> bytes:
    """A VP8X chunk that announces neither a colour profile nor XMP."""
    return header[:8] + bytes([header[8] & ~0x24]) + header[9:]


def _gif(data: bytes) -> bytes:
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    begin, kept, beside = data[:at], [], 0
    while data[at] == 0x21:
        end = _after_blocks(data, at + 2)
        if data[at + 1] == 0xF9:  # it says which colour is transparent
            kept.append(data[at:end])
        else:
            beside += end - at
        at = end
    if data[at] != 0x2C:
        raise _UncutError
    end = at + 10 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
    end = _after_blocks(data, end + 1)
    if beside <= METADATA_BYTES:
        return data[:end] + b";"
    return begin + b"".join(kept[-1:]) + data[at:end] + b";"


def _after_blocks(data: bytes, at: int) -> int:
    for _ in range(10 * _MOST_PARTS):
        if not data[at]:
            return at + 1
        at += data[at] + 1
    raise _UncutError


def _bmp(data: bytes) -> bytes:
    pixels_at, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        packing = size = 0
    else:
        width, height, _, depth, packing, size = struct.unpack_from("<iiHHII", data, 18)
    if packing in (0, 3, 6):
        size = (width * depth + 31) // 32 * 4 * abs(height)
    if pixels_at > METADATA_BYTES or not size:
        raise _UncutError
    return data[: pixels_at + size]


def _tiff(data: bytes) -> bytes:
    """Its parts may stand anywhere, so they are only counted."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as picture:
        tags = getattr(picture, "tag_v2", {})
        counts = tags.get(ExifTags.Base.StripByteCounts) or tags.get(ExifTags.Base.TileByteCounts) or ()
    if len(data) > sum(counts) + METADATA_BYTES:
        raise _UncutError
    return data


def _avif(data: bytes) -> bytes:
    at = last = beside = 0
    for _ in range(_MOST_PARTS):
        if at + 8 > len(data):
            break
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        end = at + size if size else len(data)
        if (size and size < 8) or end > len(data):
            break
        if kind in _AVIF_KEPT:
            last = end
        else:
            beside += end - at
        at = end
    else:
        raise _UncutError
    if beside - (at - last) > METADATA_BYTES:
        raise _UncutError  # places in the file are told from its begin, so nothing goes from the middle
    return data[:last]


_CUTTERS: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], bytes]], ...]] = (
    (re.compile(rb"\xff\xd8"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _tiff),
    (re.compile(rb"....ftyp", re.DOTALL), _avif),
)
