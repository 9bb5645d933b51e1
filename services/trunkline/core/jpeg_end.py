"""JPEGs whose end marker is missing, as some cameras and downloads leave them, with all of their pixels there.

Decoders fill in what is missing without a word, so whether anything is missing is tried out: with different bytes
behind the data, missing pixels come out differently, and those that are there do not.
"""

import io
import random
import re
import zlib
from collections.abc import Iterator
from typing import Final

from PIL import Image

from trunkline.core.shrink import LARGE_PIXELS
from trunkline.core.sniff import jpeg_frame, scan_count

_END: Final = b"\xff\xd9"
_BAND: Final = 256  # rows that are looked at in one piece
_SEGMENT: Final = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # no stuffed byte, and no restart
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN: Final = 0xDA
_COEFFICIENTS: Final = 64
_MOST_SEGMENTS: Final = 1000
_MOST_SAMPLES: Final = 20 * LARGE_PIXELS  # that are decoded in all scans of one trial
# Bits that decode to something, other than what decoders put in where nothing is; no 0xFF, which begins a marker.
_NOISE: Final = bytes(random.Random(1).choices(range(255), k=2048))


def with_end(data: bytes) -> bytes | None:
    """The JPEG with its end marker; None where it has one, or where more is missing than that.

    Decodes it several times, at no more than LARGE_PIXELS each.
    """
    body = data[:-1] if data.endswith(b"\xff") else data  # half of the marker
    if _END in body[body.rfind(b"\xff\xda") :] or not _has_all_scans(body) or _is_costly(body):
        return None
    try:
        trials = (_pixels(body + each + _END) for each in _continuations(body))
        first = next(trials)
        return body + _END if all(each == first for each in trials) else None
    except (MemoryError, RecursionError):
        raise
    except Exception:  # decoders raise almost anything on damaged data
        return None


def _continuations(body: bytes) -> Iterator[bytes]:
    yield b""
    yield _NOISE
    yield _NOISE[::-1]
    yield b"\xfe" * len(_NOISE)
    yield b"\x55" * len(_NOISE)
    # Where the data is divided by restart markers, what follows is skipped up to the next one.
    number = max(range(8), key=lambda each: body.rfind(bytes((0xFF, 0xD0 + each))))
    yield bytes((0xFF, 0xD0 + (number + 1) % 8)) + _NOISE


def _pixels(data: bytes) -> tuple[tuple[int, int], int]:
    """What stands for the pixels."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        if picture.width * picture.height > LARGE_PIXELS:
            picture.draft(None, (picture.width // 8 + 1, picture.height // 8 + 1))
        picture.load()
        found = 0
        for top in range(0, picture.height, _BAND):
            found = zlib.crc32(
                picture.crop((0, top, picture.width, min(top + _BAND, picture.height))).tobytes(), found
            )
        return picture.size, found


def _has_all_scans(data: bytes) -> bool:
    """Whether scans have begun of each component, and in a progressive JPEG of each bit of its coefficients."""
    lacking: dict[int, list[int]] = {}  # for each component, by how many bits each coefficient is behind
    progressive = False
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if (found := _SEGMENT.search(data, at)) is None:
            return bool(lacking) and not any(map(any, lacking.values()))
        marker, start = found[1][0], found.end()
        body = data[start + 2 : start + int.from_bytes(data[start : start + 2], "big")]
        at = start + 2 + len(body)
        if marker in _FRAMES and not lacking:
            progressive = marker in _PROGRESSIVE
            lacking = {component: [_COEFFICIENTS] * _COEFFICIENTS for component in body[6::3]}
        elif marker == _SCAN and len(body) >= 4:
            first, last, bits = body[-3:]
            seen = slice(first, last + 1) if progressive else slice(None)
            for component in body[1:-3:2]:
                if component in lacking:
                    lacking[component][seen] = [bits & 15 if progressive else 0] * len(lacking[component][seen])
    return False


def _is_costly(data: bytes) -> bool:
    frame = jpeg_frame(data)
    return frame is None or frame.width * frame.height * scan_count(data) > _MOST_SAMPLES
