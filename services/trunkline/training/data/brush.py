"""The areas that people paint in Label Studio, as its exports hold them.

Source: rle-pack of thi.ng/umbrella, by which Label Studio packs the RGBA pixels of a brush: 32 bits with the number
of values, 5 with the bits of a value, 4 x 4 with the bits of four kinds of lengths; then runs: 1 bit whether one
value is repeated or each stands there, 2 bits with the kind of the length, the length, the values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from trunkline.core.errors import DataInvalidError

_CHANNELS: Final = 4  # red, green, blue, and how much is painted
_HEAD: Final = 53  # bits before the first run
_WORD: Final = 8  # bits of a value
_BYTE: Final = 255
_DAMAGED: Final = "the run lengths of the brush do not fill the picture"


@dataclass(frozen=True)
class Brush:
    """A painted area of a picture of this size. packed: the bytes of its RGBA pixels."""

    width: int
    height: int
    packed: bytes

    def load(self) -> np.ndarray:
        """uint8 (H, W): 1 where something is painted. Raises DataInvalidError for bytes that are no such picture."""
        count = self.width * self.height
        if len(self.packed) * 8 < _HEAD or self._bits(0, 32) != count * _CHANNELS:
            raise DataInvalidError(_DAMAGED)
        if self._bits(32, 5) + 1 != _WORD:
            raise DataInvalidError("the values of the brush are not of 8 bits")
        values = np.zeros(count * _CHANNELS, np.uint8)
        for begin, end, run in self._runs(count * _CHANNELS):
            values[begin:end] = run
        painted: np.ndarray = (values[_CHANNELS - 1 :: _CHANNELS] > 0).astype(np.uint8)
        return painted.reshape(self.height, self.width)

    def _runs(self, count: int) -> Iterator[tuple[int, int, int | np.ndarray]]:
        """First value and that after the last, and their one value or each."""
        lengths = [self._bits(37 + 4 * kind, 4) + 1 for kind in range(4)]
        at, begin = _HEAD, 0
        while begin < count:
            repeated, kind = self._bits(at, 1), self._bits(at + 1, 2)
            end = begin + 1 + self._bits(at + 3, lengths[kind])
            at += 3 + lengths[kind]
            size = _WORD * (1 if repeated else end - begin)
            if end > count or at + size > len(self.packed) * 8:
                raise DataInvalidError(_DAMAGED)
            yield begin, end, self._bits(at, size) if repeated else self._values(at, size)
            at += size
            begin = end

    def _bits(self, at: int, size: int) -> int:
        """The whole number in these bits, the first of them the highest."""
        last = (at + size + 7) // 8
        if last > len(self.packed):
            raise DataInvalidError(_DAMAGED)
        found = int.from_bytes(self.packed[at // 8 : last], "big")
        return found >> (last * 8 - at - size) & ((1 << size) - 1)

    def _values(self, at: int, size: int) -> np.ndarray:
        part = np.frombuffer(self.packed, np.uint8)[at // 8 : (at + size + 7) // 8]
        return np.packbits(np.unpackbits(part)[at % 8 : at % 8 + size])


def brush_of(values: object, width: int, height: int) -> Brush:
    """Of the list of bytes in an export. Raises DataInvalidError where it is none."""
    if not isinstance(values, list) or not all(isinstance(value, int) and 0 <= value <= _BYTE for value in values):
        raise DataInvalidError("the run lengths of the brush are not a list of bytes")
    return Brush(width, height, bytes(values))
