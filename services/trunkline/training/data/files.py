"""Pictures of a data set by the names that its annotations give them."""

import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import ExifTags, Image

from trunkline.core.errors import DataInvalidError

_SWAPS_AXES: Final = frozenset({5, 6, 7, 8})  # EXIF orientations


def find_file(root: Path, folders: Sequence[Path], name: str) -> Path | None:
    """The file of this name, below one of these folders; None where there is none.

    Raises DataInvalidError for a name that leads out of the root.
    """
    plain = posixpath.normpath(name)
    if not name or posixpath.isabs(plain):
        raise DataInvalidError(f"{name!r} is no path below the folder of the data set")
    for folder in folders:
        path = Path(posixpath.normpath((folder / plain).as_posix()))
        if is_file(path):
            if not path.is_relative_to(root):
                raise DataInvalidError(f"{name!r} leaves the folder of the data set")
            return path
    return None


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def upright_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture after EXIF, from its header. Raises DataInvalidError without the name."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            # Pillow looks for the EXIF of a PNG behind its pixels, which takes long and is hardly ever there.
            exif = picture.getexif() if picture.format != "PNG" or "exif" in picture.info else {}
            swapped = exif.get(ExifTags.Base.Orientation) in _SWAPS_AXES
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataInvalidError(f"the picture cannot be read: {error}") from error
    return (height, width) if swapped else (width, height)
