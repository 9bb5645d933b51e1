"""The one way in which files of a data set are opened: regular ones, of a bounded size, below the folders allowed."""

import errno
import os
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImageFile

from trunkline.core.errors import DataInvalidError
from trunkline.core.files import MIB, open_regular, real_path
from trunkline.core.images import FORMATS, ImageLimits
from trunkline.core.roots import SETTING, DataRoots

LARGEST_LIST: Final = 16 * MIB  # lists of names and objects of one picture
LARGEST_XML: Final = 4 * MIB  # a file for each picture
LARGEST_YAML: Final = MIB
LARGEST_SIDE: Final = 65_535
_LIMITS: Final = ImageLimits()
_OUTSIDE: Final = f"it leads out of the folders of {SETTING}"


class _Bounds:
    """Of this process. roots: None where it may read whatever its user may."""

    roots: DataRoots | None = None
    annotations: int = 256 * MIB


def confine(roots: DataRoots | None) -> None:
    """From now on this process reads data below these folders alone, wherever links lead by then; for None, any."""
    _Bounds.roots = roots


def limit_annotations(mib: int) -> None:
    """The size of the largest file with annotations or a table that this process reads from now on."""
    _Bounds.annotations = mib * MIB


def largest_annotations() -> int:
    """In bytes."""
    return _Bounds.annotations


def is_confined() -> bool:
    return _Bounds.roots is not None


def require_allowed(path: Path) -> None:
    """Raises DataForbiddenError for a path that leads out of the folders that this process may read."""
    if _Bounds.roots is not None:
        _Bounds.roots.require(str(path))


def is_allowed(path: Path) -> bool:
    return _Bounds.roots is None or _Bounds.roots.hold(str(path))


def is_file(path: Path) -> bool:
    """Whether a regular file is there that may be read."""
    try:
        return is_allowed(path) and path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def is_there(path: Path) -> bool:
    """Whether a file or folder is there that may be read."""
    try:
        return is_allowed(path) and path.exists()
    except (OSError, ValueError):
        return False


def open_data(path: Path, most: int) -> BufferedReader:
    """A file of the data. Raises OSError as open_regular does, and for one outside of the folders allowed."""
    file = open_regular(path, most)
    # Looked at once it is open: a link may have appeared since the data was checked.
    if _Bounds.roots is not None and not _Bounds.roots.hold(real_path(file, path)):
        file.close()
        raise OSError(errno.EACCES, _OUTSIDE, str(path))
    return file


def read_picture(path: Path) -> bytes:
    """The encoded bytes of a picture or mask. Raises OSError."""
    with open_data(path, _LIMITS.max_bytes) as file:
        return file.read(_LIMITS.max_bytes + 1)


def read_annotations(path: Path, most: int | None = None) -> bytes:
    """The bytes of a file that says what is in pictures. Raises DataInvalidError that names it."""
    most = _Bounds.annotations if most is None else most
    try:
        with open_data(path, most) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > most:
        raise DataInvalidError.at(path, f"it grew beyond {most} bytes while it was read")
    return data


def read_start(path: Path, count: int) -> bytes:
    """The first bytes of such a file."""
    try:
        with open_data(path, _Bounds.annotations) as file:
            return file.read(count)
    except OSError as error:
        raise unreadable(path, error) from error


def line_at(data: bytes, error: UnicodeDecodeError) -> int:
    """The line, counted from 1, on which text stops being text."""
    return data[: error.start].count(b"\n") + 1


def unreadable(path: object, error: OSError) -> DataInvalidError:
    """The error for a file or folder that cannot be read; without any other name that the system's error has."""
    return DataInvalidError.at(path, f"it cannot be read: {reason_of(error)}")


def reason_of(error: OSError) -> str:
    """Why a file cannot be read, in words without its name."""
    return error.strerror or os.strerror(error.errno or errno.EIO)


def open_header(file: BinaryIO) -> ImageFile.ImageFile:
    """A picture of which only the header was read. Raises DataInvalidError without the name of the file."""
    try:
        picture = Image.open(file, formats=FORMATS)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # decoders raise almost anything on damaged data
        raise DataInvalidError("the picture cannot be read") from error
    require_small(picture.size)
    return picture


def require_small(size: tuple[int, int]) -> None:
    """Raises DataInvalidError, without a name, for more pixels than a picture may have. size: (width, height)."""
    if size[0] * size[1] > _LIMITS.max_pixels or max(size) > LARGEST_SIDE:
        raise DataInvalidError(
            f"more than {_LIMITS.max_pixels} pixels, or than {LARGEST_SIDE} on a side: no picture may be so large"
        )
