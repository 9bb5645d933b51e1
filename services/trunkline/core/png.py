"""A PNG of 8 bits a pixel that is written as its rows come, so that the whole of it is never held."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

_COMPRESSION = 3  # label maps and maps of probabilities are smooth: more takes longer and saves little
_GRAY, _PALETTE = 0, 3
_UP = 2  # filter: each pixel as its difference to the one above


class PngWriter:
    """Rows from the top down. palette: 256 colours, one after the other as 768 values; gray where there is none."""

    def __init__(self, width: int, height: int, palette: Sequence[int] = ()) -> None:
        header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE if palette else _GRAY, 0, 0, 0)
        self._parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header)]
        if palette:
            self._parts.append(_chunk(b"PLTE", bytes(palette)))
        self._packer = zlib.compressobj(_COMPRESSION)
        self._above = np.zeros((1, width), np.uint8)

    def add(self, rows: np.ndarray) -> None:
        """uint8 (n, width)"""
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(rows, np.concatenate([self._above, rows[:-1]]), out=filtered[:, 1:])
        self._above = rows[-1:].copy()
        self._put(self._packer.compress(filtered.data))

    def finish(self) -> bytes:
        """The whole file, once all rows were added."""
        self._put(self._packer.flush())
        self._parts.append(_chunk(b"IEND", b""))
        return b"".join(self._parts)

    def _put(self, packed: bytes) -> None:
        if packed:
            self._parts.append(_chunk(b"IDAT", packed))


def _chunk(name: bytes, data: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))])
