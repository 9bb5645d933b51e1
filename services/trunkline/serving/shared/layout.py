"""An arena: a file in memory that one process writes and others read.

    header | one generation for each chunk, uint64 | chunks of 64 KiB

A block is a run of chunks that holds the features of one pass. Each of its chunks shows the generation of the block,
a number that is never used again, or 0 while it is written. So a reader that finds the generation which it was told,
before and after it used the numbers, has used the right ones, whatever became of the block meanwhile.
"""

import struct
from dataclasses import dataclass
from typing import Self

from trunkline.core.errors import InvalidRequestError

CHUNK_BYTES = 64 * 1024
_PAGE_BYTES = 4096
_HEADER = struct.Struct("<8sQ")  # magic, chunks
_MAGIC = b"TLARENA1"
IN_WRITING = 0  # shown by chunks that are just being written, or never were
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True)
class Layout:
    """Where things are in an arena of so many chunks, bytes from the beginning of the file."""

    chunks: int

    @property
    def generations_at(self) -> int:
        return _PAGE_BYTES

    @property
    def data_at(self) -> int:
        return _PAGE_BYTES + _round_up(8 * self.chunks, _PAGE_BYTES)

    @property
    def size(self) -> int:
        return self.data_at + self.chunks * CHUNK_BYTES

    def header(self) -> bytes:
        return _HEADER.pack(_MAGIC, self.chunks)

    @classmethod
    def read(cls, header: bytes, size: int) -> Self:
        """Raises ValueError for a file that is no arena, or not a whole one."""
        magic, chunks = _HEADER.unpack(header[:HEADER_BYTES]) if len(header) >= HEADER_BYTES else (b"", 0)
        layout = cls(chunks)
        if magic != _MAGIC or layout.size != size:
            raise ValueError("not an arena of this version")
        return layout


@dataclass(frozen=True)
class Region:
    """Where the numbers of one feature are: bytes from the first chunk of the arena on."""

    arena: str
    generation: int
    offset: int
    length: int

    def chunks(self, layout: Layout) -> slice:
        """The chunks that it lies in. Raises InvalidRequestError where it can be no region of such an arena."""
        ends_at = self.offset + self.length
        inside = self.offset >= 0 and self.length > 0 and ends_at <= layout.chunks * CHUNK_BYTES
        if not inside or self.generation == IN_WRITING:
            raise InvalidRequestError("a shared tensor is not inside its arena")
        return slice(self.offset // CHUNK_BYTES, chunks_for(ends_at))


def chunks_for(length: int) -> int:
    """How many chunks so many bytes need."""
    return -(-length // CHUNK_BYTES)


def _round_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit
