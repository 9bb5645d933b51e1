"""Files that somebody else may have put there: only regular ones are read, and their size is looked at before."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def open_regular(path: Path, most: int) -> BufferedReader:
    """The file, open for reading; of `most` bytes at most. Links are followed.

    Raises OSError, whose strerror says why: also for a folder, a pipe, a socket or a device, for which nobody waits,
    for a file that is larger, and for a name that no file can have.
    """
    try:
        # Before it is opened, as that alone may change what a device does; and after, as it may be another one then.
        _require(path.stat(), most, path)
        number = os.open(path, _FLAGS)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have this name") from error
    try:
        _require(os.fstat(number), most, path)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """All bytes of a file. Raises OSError as open_regular does."""
    with open_regular(path, most) as file:
        data = file.read(most + 1)
    if len(data) > most:  # it has grown since
        raise _too_large(len(data), most, path)
    return data


def real_path(file: BufferedReader, path: Path) -> str:
    """Where a file that was opened by `path` really lies: links are resolved as they were when it was opened."""
    try:
        return os.readlink(f"/proc/self/fd/{file.fileno()}")  # noqa: PTH115 - a text, which may end in " (deleted)"
    except OSError:  # no Linux
        real = os.path.realpath(path)
        if not os.path.samestat(Path(real).stat(), os.fstat(file.fileno())):
            raise OSError(errno.ESTALE, "it was replaced while it was opened", str(path)) from None
        return real


def _require(found: os.stat_result, most: int, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if found.st_size > most:
        raise _too_large(found.st_size, most, path)


def _too_large(size: int, most: int, path: Path) -> OSError:
    return OSError(errno.EFBIG, f"it has {size} bytes; the limit is {most}", str(path))
