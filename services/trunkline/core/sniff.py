"""What headers tell of the cost of a picture and Pillow does not: read before Pillow opens it."""

import re
from typing import Final

# An SOS marker with its length, 6 + 2n, and n, the number of components: exact, as libjpeg takes no other length.
_JPEG_SCAN: Final = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a WebP file declares; None for other formats or a header cut short.

    Pillow allocates the canvas of a WebP when it opens the file. Source: RFC 9649, sections 2.5 to 2.7.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    chunk = data[12:16]
    if chunk == b"VP8L" and len(data) >= 25:  # 28 bytes are a whole picture of 16384x16384 pixels
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(data) < 30:
        return None
    if chunk == b"VP8X":
        return _uint24(data, 24) + 1, _uint24(data, 27) + 1
    if chunk == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") for at in (26, 28))
        return width & 0x3FFF, height & 0x3FFF
    return None


def scan_count(data: bytes) -> int:
    """Scans of a JPEG file, those of its thumbnails too; 0 for other formats."""
    return sum(1 for _ in _JPEG_SCAN.finditer(data)) if data[:2] == b"\xff\xd8" else 0


def _uint24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
