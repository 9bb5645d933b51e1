"""Pictures of every format with something wrong, decoded as the service does."""

import zlib
from random import Random

from tests.fuzz.case import Case, unpack
from tests.fuzz.child import Child
from tests.fuzz.loop import Fault
from tests.fuzz.seeds import all_formats
from tests.fuzz.values import mutated
from trunkline.core.errors import InvalidRequestError
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import parse_spec, preprocess

_SPECS = (
    {"resize": "crop", "crop_share": 0.875},
    {"resize": "squash", "width": 64, "height": 96},
    {"resize": "pad", "width": 320, "height": 32},
    {"resize": "squash", "colour": "L", "interpolation": "bilinear"},
)
_MARKS = (
    b"\xff\xd8", b"\xff\xda\x00\x0c\x03", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xe1", b"\xff\xd9",
    b"IHDR", b"PLTE", b"IDAT", b"iCCP", b"zTXt", b"tRNS", b"eXIf", b"acTL", b"fdAT", b"IEND", b"RIFF", b"VP8 ",
    b"VP8L", b"VP8X", b"ALPH", b"ANMF", b"II*\x00", b"MM\x00*", b"ftypavif", b"meta", b"ispe", b"iloc", b"ipma",
    b"BM", b"\x21\xf9", b"\x2c\x00\x00\x00\x00",
)  # fmt: skip
_SIZES = (0, 1, 0x7F, 0x80, 0xFF, 0x3FFF, 0x4000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Pictures:
    def __init__(self) -> None:
        self._child = Child("tests.fuzz.pictures:decode")

    def make(self, dice: Random) -> bytes:
        formats = all_formats()
        data = formats[dice.choice(sorted(formats))]
        for _ in range(dice.randint(1, 3)):
            data = _CHANGES[dice.randrange(len(_CHANGES))](dice, data)
        return Case({"spec": dice.randrange(len(_SPECS))}, [data]).pack()

    def check(self, data: bytes) -> Fault | None:
        return self._child.check(data)

    def finish(self) -> Fault | None:
        self._child.close()
        return None


def decode(data: bytes) -> None:
    case = unpack(data)
    try:
        pixels, _ = preprocess(EncodedImage(case.parts[0]), parse_spec(_SPECS[case.header["spec"]]))
    except InvalidRequestError as error:
        if len(error.message) > 4096:
            raise ValueError("a message above 4 KB") from error
        return
    assert pixels.ndim == 4


def _noise(dice: Random, data: bytes) -> bytes:
    return mutated(dice, data, most=6)


def _early(dice: Random, data: bytes) -> bytes:
    """Headers decide more than what follows."""
    cut = dice.choice((16, 64, 256))
    return mutated(dice, data[:cut]) + data[cut:]


def _mark(dice: Random, data: bytes) -> bytes:
    at = dice.randrange(len(data) + 1)
    mark = dice.choice(_MARKS)
    return data[:at] + mark + data[at + len(mark) * dice.randrange(2) :]


def _size(dice: Random, data: bytes) -> bytes:
    """A field of 2 or 4 bytes with a number at the edge, in either order of bytes."""
    length = dice.choice((2, 4))
    at = dice.randrange(min(len(data), 400) + 1)
    order = dice.choice(("little", "big"))
    value = (dice.choice(_SIZES) & (1 << 8 * length) - 1).to_bytes(length, order)  # type: ignore[arg-type]
    return _mended(data[:at] + value + data[at + length :])


def _splice(dice: Random, data: bytes) -> bytes:
    formats = all_formats()
    other = formats[dice.choice(sorted(formats))]
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other)) :]


def _mended(data: bytes) -> bytes:
    """With the right sums behind the chunks of a PNG, so that what was changed in them is looked at."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    at, parts = 8, [data[:8]]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        parts.append(data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big"))
        at += 12 + length
    return b"".join([*parts, data[at:]])


_CHANGES = (_noise, _early, _mark, _size, _size, _splice)
