"""One XML file of Pascal VOC: the size of its picture and the objects in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.parsers.expat import ErrorString

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.boxes import Findings, Size, fitted_box
from trunkline.training.data.reading import LARGEST_XML, open_data, reason_of, require_small

_DECLARATIONS: Final = (b"<!DOCTYPE", b"<!ENTITY")
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
    try:
        with open_data(path, LARGEST_XML) as file:
            data = file.read(LARGEST_XML)
    except OSError as error:
        raise DataInvalidError(f"it cannot be read: {reason_of(error)}") from error
    if not data.strip():
        raise DataInvalidError("the file is empty")
    if any(word in data for word in _DECLARATIONS):
        raise DataInvalidError("it declares a document type or entities, which no file of VOC does")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataInvalidError(f"not XML: {ErrorString(error.code)}, line {line}, column {column}") from error
    except (ValueError, LookupError) as error:
        raise DataInvalidError("not XML that can be read: its encoding is not known") from error


def declared_size(document: ElementTree.Element) -> Size | None:
    """(width, height); None where they are missing, or 0 as some tools write them."""
    try:
        width, height = (round(float(document.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError) as error:
        raise DataInvalidError("the size has a side that is no number") from error
    if width <= 0 or height <= 0:
        return None
    require_small((width, height))
    return width, height


def objects_of(document: ElementTree.Element, size: Size, source: str, findings: Findings) -> Iterator[NamedObject]:
    """The objects that are sound; faults of the others are named by `source`, the file. size: of the picture."""
    for place, element in enumerate(document.iter("object"), 1):
        class_name, name = (element.findtext("name") or "").strip(), f"object {place}"
        where = f"{source}: {name}"
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
        findings.fault(where, "the box has no area")
        return None
    return fitted_box(Box(x_min - 1, y_min - 1, x_max, y_max), size, where, findings)
