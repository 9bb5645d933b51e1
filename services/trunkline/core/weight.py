"""What decoding will take in memory, from the first bytes of a file: before it waits for its turn.

As good as a look at the header can be. What Pillow then finds is what counts: `decode_cost`.
"""

from collections.abc import Callable
from typing import Final, Literal

from trunkline.core.preprocess import PreprocessSpec, frame_of, least_size
from trunkline.core.raw import is_packed
from trunkline.core.shrink import LARGE_PIXELS
from trunkline.core.sniff import declared_size, jpeg_frame

_UNKNOWN: Final = 1 << 62  # to be taken for the largest
_MOST_SIZES = 64  # of the items of an AVIF
_MOST_TAGS = 4096
_SEARCHED = 256 * 1024  # bytes, in which the sizes of an AVIF are


def decode_weight(data: bytes, spec: PreprocessSpec | None) -> int:
    """Bytes at the peak of decoding a picture for this spec, roughly; 0 for what is no picture that can be read.

    Without a spec, for the one that takes most.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, spec)
    for magic, at, weigh in _FORMATS:
        if data.startswith(magic, at):
            return weigh(data)
    return 4 * len(data) if is_packed(data) else 0


def _jpeg(data: bytes, spec: PreprocessSpec | None) -> int:
    frame = jpeg_frame(data)
    if frame is None or not frame.width or not frame.height:
        return 0
    pixels = frame.width * frame.height
    kept = 2 * frame.samples if frame.kept else 0
    if pixels <= LARGE_PIXELS:
        return pixels + kept  # decoded at half of its size or less, or too small to matter
    if spec is None:
        return 4 * pixels + kept
    least = least_size(frame_of(frame.width, frame.height, spec))
    by = max(1, min(frame.width // least[0], frame.height // least[1], 8))
    return 4 * pixels // (1 << by.bit_length() - 1) ** 2 + kept


def _png(data: bytes) -> int:
    depth, colour = data[24:26].ljust(2, b"\x08")
    each = {0: 2 if depth == 16 else 1, 3: 1}.get(colour, 4)
    return each * int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")


def _gif(data: bytes) -> int:
    return 2 * int.from_bytes(data[6:8], "little") * int.from_bytes(data[8:10], "little")


def _bmp(data: bytes) -> int:
    if int.from_bytes(data[14:18], "little") == 12:  # the first form of the header
        width, height, bits = (int.from_bytes(data[at : at + 2], "little") for at in (18, 20, 24))
    else:
        width, height = (abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22))
        bits = int.from_bytes(data[28:30], "little")
    return (2 if bits <= 8 else 4) * width * height


def _tiff(data: bytes) -> int:
    """6 bytes a pixel: the picture, and a strip of it that is most of it."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    if len(data) < 8:
        return 0
    if data[2:4] not in (b"*\0", b"\0*"):
        return _UNKNOWN  # a BigTIFF
    at = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[at : at + 2], order)
    sides = {}
    for place in range(at + 2, at + 2 + 12 * min(count, _MOST_TAGS), 12):
        tag, kind = (int.from_bytes(data[place + part : place + part + 2], order) for part in (0, 2))
        if tag in (256, 257):  # ImageWidth, ImageLength: SHORT or LONG
            sides[tag] = int.from_bytes(data[place + 8 : place + (10 if kind == 3 else 12)], order)
    return 6 * sides.get(256, 0) * sides.get(257, 0)


def _webp(data: bytes) -> int:
    width, height = declared_size(data) or (0, 0)
    return 17 * width * height


def _avif(data: bytes) -> int:
    """By the largest of the sizes that its items have."""
    most, at = 0, 0
    for _ in range(_MOST_SIZES):
        at = data.find(b"ispe", at, _SEARCHED) + 4
        if at == 3:
            return 12 * most or _UNKNOWN
        width, height = (int.from_bytes(data[at + part : at + part + 4], "big") for part in (4, 8))
        most = max(most, width * height)
    return _UNKNOWN


_FORMATS: Final[tuple[tuple[bytes, int, Callable[[bytes], int]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"WEBP", 8, _webp),
    (b"GIF8", 0, _gif),
    (b"BM", 0, _bmp),
    (b"II", 0, _tiff),
    (b"MM", 0, _tiff),
    (b"ftyp", 4, _avif),
)
