"""One XML file of Pascal VOC: the size of its picture and the objects in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.boxes import Findings, Size, fitted_box

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class NamedObject:
    """An object before the classes are known. name: which of the file it is, for messages."""

    class_name: str
    box: Box
    crowd: bool
    name: str


def parse(path: Path) -> ElementTree.Element:
    """The root of the file. Raises DataInvalidError without its name."""
    data = path.read_bytes()
    if not data.strip():
        raise DataInvalidError("the file is empty")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataInvalidError(f"not XML: {error}") from error


def declared_size(document: ElementTree.Element) -> Size | None:
    """(width, height); None where they are missing, or 0 as some tools write them."""
    try:
        width, height = (round(float(document.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError) as error:
        raise DataInvalidError("the size has a side that is no number") from error
    return (width, height) if width > 0 and height > 0 else None


def objects_of(document: ElementTree.Element, size: Size, source: str, findings: Findings) -> Iterator[NamedObject]:
    """The objects that are sound; faults of the others are named by `source`, the file. size: of the picture."""
    for place, element in enumerate(document.iter("object"), 1):
        class_name, name = (element.findtext("name") or "").strip(), f"object {place}"
        where = f"{source}: {name}" + (f" ({class_name})" if class_name else "")
        box = _box(element, size, where, findings)
        if not class_name:
            findings.fault(where, "it has no name of a class")
        elif box is not None:
            yield NamedObject(class_name, box, (element.findtext("difficult") or "").strip() == "1", name)


def _box(element: ElementTree.Element, size: Size, where: str, findings: Findings) -> Box | None:
    try:
        x_min, y_min, x_max, y_max = (float(element.findtext(f"bndbox/{side}") or "") for side in _SIDES)
    except ValueError:
        findings.fault(where, f"it has no bndbox of four numbers {', '.join(_SIDES)}")
        return None
    if x_max <= x_min or y_max <= y_min:
        findings.fault(where, f"the box [{x_min:g}, {y_min:g}, {x_max:g}, {y_max:g}] has no area")
        return None
    return fitted_box(Box(x_min - 1, y_min - 1, x_max, y_max), size, where, findings)
