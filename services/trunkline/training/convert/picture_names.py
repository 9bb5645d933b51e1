"""What pictures are called where they are written: names that every format can hold, each once."""

import io
import re
import unicodedata
from collections.abc import Iterator
from itertools import count
from pathlib import PurePosixPath
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.training.data.dataset import Sample
from trunkline.training.data.reading import open_header
from trunkline.training.data.remarks import Kind, Remarks

_NOT_HELD: Final = re.compile(r"[\\/\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]")
_HIDDEN: Final = re.compile(r"^[.\s]+")
_LONGEST: Final = 180  # bytes of a stem; systems take 255 for a name
_SUFFIXES: Final = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "BMP": ".bmp",
                    "DIB": ".bmp", "GIF": ".gif", "TIFF": ".tif"}  # fmt: skip


class PictureNames:
    """Gives out names: that of the file where it can be held and was not given out before, or another one."""

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks
        self._given: set[tuple[str, str]] = set()

    def name(self, sample: Sample, folder: str) -> str:
        """A name with its suffix; no two in a folder have one stem, in upper or lower case."""
        path = PurePosixPath(sample.name)
        is_file = path.suffix.lower() in PICTURE_SUFFIXES
        stem, suffix = (path.stem, path.suffix) if is_file else (path.name, _suffix(sample))
        found = next(name for name in _wanted(sample, stem) if (folder, _folded(name)) not in self._given)
        self._given.add((folder, _folded(found)))
        if is_file and found != stem:
            text = f"it is called {found}{suffix} where it is written"
            self._remarks.read(Kind.RENAMED, sample.name, text)
        return found + suffix


def _wanted(sample: Sample, stem: str) -> Iterator[str]:
    """The stem, then with the split and folders in front of it, then numbered."""
    folders = "_".join(part for part in (sample.split, *PurePosixPath(sample.name).parent.parts) if part)
    plain = plain_name(stem)
    yield plain
    yield plain_name(f"{folders}_{stem}")
    yield from (f"{plain}_{number}" for number in count(2))


def plain_name(name: str) -> str:
    """A name that all formats can hold, with _ for what not all can."""
    plain = _HIDDEN.sub("", _NOT_HELD.sub("_", name))
    return plain.encode()[:_LONGEST].decode(errors="ignore").strip() or "_"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _suffix(sample: Sample) -> str:
    """By the first bytes of the picture. Raises DataInvalidError with its name."""
    try:
        with open_header(io.BytesIO(sample.encoded())) as picture:
            return _SUFFIXES[picture.format or ""]
    except KeyError as error:
        raise DataInvalidError.at(sample.name, "the format of the picture has no suffix that is known") from error
