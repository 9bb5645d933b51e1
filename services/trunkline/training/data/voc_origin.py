"""From which number the boxes of VOC's files count: 1 by the format, 0 as CVAT and many scripts write them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from trunkline.training.data.numbers import number
from trunkline.training.data.reading import is_file
from trunkline.training.data.remarks import Kind, Remarks

_LABEL_MAP: Final = "labelmap.txt"  # CVAT and datumaro write it, nobody else


def by_cvat(root: Path) -> bool:
    """Whether CVAT wrote the data set, or datumaro, by which it does: pictures without objects have no file there."""
    return is_file(root / _LABEL_MAP)


def counts_from(root: Path, files: Iterable[tuple[Path, ElementTree.Element]], remarks: Remarks) -> int:
    """0 or 1 for a whole data set: where a box begins at 0, none counts from 1. Says so once."""
    if by_cvat(root):
        return 0
    first = next((path for path, document in files if _begins_at_0(document)), None)
    if first is None:
        return 1
    text = "a box begins at 0, so the boxes of all files are read as counting from 0, not from 1"
    remarks.read(Kind.BOX_ORIGIN, first.relative_to(root).as_posix(), text)
    return 0


def _begins_at_0(document: ElementTree.Element) -> bool:
    sides = (number(box.findtext(side) or "") for box in document.iter("bndbox") for side in ("xmin", "ymin"))
    return any(side is not None and 0 <= side < 1 for side in sides)
