"""numpy's files, read from several threads.

numpy parses their headers by `ast`, which CPython 3.11 does not bear from two threads at a moment: now and then one
gets a SystemError ("AST constructor recursion depth mismatch").
"""

import math
import threading
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from trunkline.core.files import MIB, open_regular

_PARSING = threading.Lock()
_END: Final = b"PK\x05\x06"  # of the record that ends a zip file
_END_BYTES, _COMMENT_BYTES = 22, 65_535
_DIRECTORY_BYTES: Final = MIB
_VERSION_2: Final = (2, 0)


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, in memory. Raises OSError, and ValueError where it is damaged."""
    with _PARSING:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(mapped)


def read_npz(path: Path, most: int) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name; of `most` bytes at most, packed and, by its own list, unpacked.

    Raises OSError, ValueError and others where it is damaged, larger, or no regular file.
    """
    with _PARSING, open_regular(path, most) as file:
        _require_small_directory(file)
        with zipfile.ZipFile(file) as stored:
            entries = stored.infolist()
            if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
                raise ValueError("its compression is not one that numpy writes")
            total = sum(entry.file_size for entry in entries)
            if total > most:
                raise ValueError(f"it has {total} bytes when unpacked; the limit is {most}")
            return {entry.filename.removesuffix(".npy"): _read_entry(stored, entry) for entry in entries}


def _require_small_directory(file: BinaryIO) -> None:
    """zipfile makes an object of each entry of the list at the end, however many there are."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES - _COMMENT_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or int.from_bytes(tail[at + 12 : at + 16], "little") > _DIRECTORY_BYTES:
        raise ValueError("not a zip file, or it has too many entries")


def _read_entry(stored: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """numpy makes room for the shape that a header claims before it reads: the claim must fit what is there."""
    with stored.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_2_0 if version == _VERSION_2 else np.lib.format.read_array_header_1_0
        )
        shape, fortran_order, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("it contains Python objects, which are never read")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size > entry.file_size:
            raise ValueError("an array is larger than its data")
        data = bytearray(file.read(size))
    values = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")
