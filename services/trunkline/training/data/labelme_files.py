"""Which JSON files are labelme's."""

import re
from pathlib import Path
from typing import Final

from trunkline.training.data.reading import read_start

_START: Final = 4096
# Of its keys, those that no other tool's files begin with; which comes first depends on who wrote the file.
_KEYS: Final = re.compile(rb'^\W*\{\s*"(version|flags|shapes|imageData|imagePath|imageHeight|imageWidth)"\s*:')
_OWN: Final = re.compile(rb'"(shapes|imageData|imagePath)"\s*:')


def is_labelme(path: Path) -> bool:
    """Whether the file begins as labelme's do."""
    start = read_start(path, _START).replace(b"\0", b"")  # in UTF-16 every other byte is one
    return _KEYS.match(start) is not None and _OWN.search(start) is not None
