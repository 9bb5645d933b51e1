"""Places below the root of a data set, and the size of a picture by its header."""

import posixpath
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.images import SWAPS_AXES, ImageLimits, orientation_of
from trunkline.training.data.reading import open_data, open_header, reason_of


def below(root: Path, folder: Path, name: str) -> Path | None:
    """The path of this name in a folder below the root, without dots; None where it leads out of the root."""
    plain = posixpath.normpath((folder.relative_to(root) / name).as_posix())
    return None if posixpath.isabs(plain) or plain.split("/")[0] == ".." else root / plain


def upright_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture after EXIF, from its header. Raises DataInvalidError without the name."""
    try:
        with open_data(path, ImageLimits().max_bytes) as file, open_header(file) as picture:
            width, height = picture.size
            # Pillow looks for the EXIF of a PNG behind its pixels, which takes long and is hardly ever there.
            early = picture.format != "PNG" or "exif" in picture.info
            swapped = early and orientation_of(picture) in SWAPS_AXES
    except OSError as error:
        raise DataInvalidError(f"the picture cannot be read: {reason_of(error)}") from error
    return (height, width) if swapped else (width, height)
