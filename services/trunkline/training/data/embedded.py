"""Pictures inside of files of annotations, as labelme puts them there."""

import base64
import binascii
import errno
import io
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.images import SWAPS_AXES, orientation_of
from trunkline.training.data.json_text import read_json
from trunkline.training.data.reading import open_header
from trunkline.training.data.remarks import Remarks


@dataclass(frozen=True)
class Embedded:
    """The picture in one value, in base64, of a JSON file; read anew at each call.

    name: what the picture is called.
    """

    path: Path
    key: str
    name: str

    def read(self) -> bytes:
        """The encoded bytes. Raises OSError."""
        try:
            document = read_json(self.path, Remarks())
            return base64.b64decode(document[self.key], validate=True)
        except (DataInvalidError, binascii.Error, ValueError, TypeError, KeyError) as error:
            raise OSError(errno.EINVAL, f"{self.key} is no picture in base64") from error

    def size(self) -> tuple[int, int]:
        """(width, height) after EXIF. Raises DataInvalidError without the name."""
        try:
            with open_header(io.BytesIO(self.read())) as picture:
                width, height = picture.size
                return (height, width) if orientation_of(picture) in SWAPS_AXES else (width, height)
        except OSError as error:
            raise DataInvalidError(str(error.strerror)) from error
