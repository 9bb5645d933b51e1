"""The writing side: blocks are given out, released, and taken back when their lease is over."""

import contextlib
import fcntl
import logging
import mmap
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.serving.shared.files import SUFFIX, sweep
from trunkline.serving.shared.layout import CHUNK_BYTES, IN_WRITING, Layout, Region, chunks_for

_ALIGNMENT_BYTES = 64  # a cache line, and the widest vector register
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Block:
    chunks: slice
    ends_at: float  # of time.monotonic()


class Arena:
    """An arena of this process, for one thread. Memory is taken as it is needed and stays taken."""

    def __init__(self, folder: Path, limit_mib: int) -> None:
        """Makes the folder where it is missing, and removes what processes that died left in it. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(folder)
        self.id = uuid.uuid4().hex
        self._layout = Layout(limit_mib * 2**20 // CHUNK_BYTES)
        self._path = folder / f"{self.id}{SUFFIX}"
        self._file = _make(self._path, self._layout)
        mapped = mmap.mmap(self._file, self._layout.size)
        self._generations = np.frombuffer(
            mapped, "<u8", self._layout.chunks, self._layout.generations_at
        )  # (chunks,)
        self._data = np.frombuffer(mapped, np.uint8, offset=self._layout.data_at)  # (chunks * CHUNK_BYTES,)
        self._used = bytearray(self._layout.chunks)
        self._blocks: dict[int, _Block] = {}
        self._last_generation = 0
        self._reserved = 0  # chunks that the file system has given
        self._refused = False  # whether it had no more, which is said once

    @property
    def held_bytes(self) -> int:
        """What blocks hold now."""
        return sum(self._used) * CHUNK_BYTES

    @property
    def reserved_bytes(self) -> int:
        """What the arena takes of the machine's memory: the most that was ever held."""
        return self._reserved * CHUNK_BYTES

    def write(self, arrays: Sequence[np.ndarray], lease_s: float) -> list[Region] | None:
        """Copy arrays into one block, held for `lease_s` seconds or until it is released.

        None where there is no room: then the numbers themselves are sent.
        """
        offsets, length = _pack([array.nbytes for array in arrays])
        found = self._find(chunks_for(length))
        if found is None:
            return None
        self._last_generation = generation = self._last_generation + 1
        self._take(generation, _Block(found, time.monotonic() + lease_s))
        begin = found.start * CHUNK_BYTES
        # Readers of what was here before must see that it goes before the first number of it changes.
        self._generations[found] = IN_WRITING
        for array, offset in zip(arrays, offsets, strict=True):
            place = self._data[begin + offset : begin + offset + array.nbytes]  # (bytes,)
            place.view(array.dtype).reshape(array.shape)[...] = array
        self._generations[found] = generation
        return [
            Region(self.id, generation, begin + offset, array.nbytes)
            for array, offset in zip(arrays, offsets, strict=True)
        ]

    def release(self, generations: Iterable[int]) -> None:
        """Let blocks be used again; those that are no longer held cost nothing."""
        for generation in generations:
            block = self._blocks.pop(generation, None)
            if block is not None:
                self._used[block.chunks] = bytes(block.chunks.stop - block.chunks.start)

    def close(self) -> None:
        """Remove the file. Who has it mapped can still read it; nobody new finds it."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._file)

    def _find(self, count: int) -> slice | None:
        """The first free run of chunks, so that the memory in use stays small and warm."""
        free = bytes(count)
        start = self._used.find(free)
        if start < 0:
            now = time.monotonic()
            self.release([number for number, block in self._blocks.items() if block.ends_at <= now])
            start = self._used.find(free)
        return slice(start, start + count) if start >= 0 and self._reserve(start + count) else None

    def _take(self, generation: int, block: _Block) -> None:
        self._used[block.chunks] = b"\1" * (block.chunks.stop - block.chunks.start)
        self._blocks[generation] = block

    def _reserve(self, until: int) -> bool:
        """Have the memory of the chunks before `until`: writing to a page that cannot be had kills the process."""
        if until <= self._reserved:
            return True
        try:
            begin = self._layout.data_at + self._reserved * CHUNK_BYTES
            os.posix_fallocate(self._file, begin, (until - self._reserved) * CHUNK_BYTES)
        except OSError as error:
            if not self._refused:
                _log.warning("shared memory ends at %d MiB: %s", self.reserved_bytes // 2**20, error.strerror)
            self._refused = True
            return False
        self._reserved = until
        return True


def _make(path: Path, layout: Layout) -> int:
    """The new file, held by a lock while this process lives, and found by others only once it is whole."""
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.ftruncate(file, layout.size)
        os.posix_fallocate(file, 0, layout.data_at)
        os.pwrite(file, layout.header(), 0)
        new.rename(path)
    except BaseException:
        os.close(file)
        new.unlink(missing_ok=True)
        raise
    return file


def _pack(lengths: Sequence[int]) -> tuple[list[int], int]:
    """Offsets at which arrays of these lengths lie behind each other, aligned, and the length of all."""
    offsets, end = [], 0
    for length in lengths:
        offsets.append(end)
        end += -(-length // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    return offsets, end
