"""What headers tell of the cost of a picture and Pillow does not: read before Pillow opens it."""

import re
from dataclasses import dataclass
from typing import Final

# An SOS marker with its length, 6 + 2n, and n, the number of components: exact, as libjpeg takes no other length.
_JPEG_SCAN: Final = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")

_JPEG_SOS: Final = 0xDA
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xDA)})  # markers without a length
_JPEG_FILL: Final = frozenset({0x00, 0xFF})


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


@dataclass(frozen=True)
class JpegFrame:
    """What the first frame header of a JPEG says.

    samples: of all components, which may have fewer than the picture has pixels. kept: whether all of them are kept
    as coefficients until the last scan, as they come in several.
    """

    width: int
    height: int
    samples: int
    kept: bool


def jpeg_frame(data: bytes) -> JpegFrame | None:
    """None for other formats, and for a JPEG that ends before its first scan. Source: ITU-T T.81, annex B."""
    if data[:2] != b"\xff\xd8":
        return None
    at, frame, of_frame, progressive = 2, None, 0, False
    while at + 10 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in _JPEG_FILL:  # libjpeg passes over what is between two segments
            at = max(at + 1, data.find(b"\xff", at + 1) % (len(data) + 1))
        elif marker in _JPEG_ALONE:
            at += 2
        elif marker == _JPEG_SOS:
            return frame and JpegFrame(*frame, kept=progressive or data[at + 4] < of_frame)
        else:
            if marker in _JPEG_FRAMES and frame is None:
                frame, of_frame, progressive = _frame_at(data, at), data[at + 9], marker in _JPEG_PROGRESSIVE
            at += 2 + max(2, data[at + 2] << 8 | data[at + 3])
    return None


def _frame_at(data: bytes, at: int) -> tuple[int, int, int]:
    """(width, height, samples) of the frame header at this place."""
    height, width = (int.from_bytes(data[at + place : at + place + 2], "big") for place in (5, 7))
    sampling = [(each >> 4, each & 15) for each in data[at + 11 : at + 10 + 3 * data[at + 9] : 3]]
    if len(sampling) <= 1:
        return width, height, width * height
    most = max(x for x, _ in sampling) * max(y for _, y in sampling)
    return width, height, sum(width * height * x * y // max(1, most) for x, y in sampling)


def _uint24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
