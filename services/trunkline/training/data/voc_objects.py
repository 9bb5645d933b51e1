"""One XML file of Pascal VOC: the size of its picture and the objects in it."""

import math
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from trunkline.core.results import Box
from trunkline.training.data.boxes import Size, fitted_box
from trunkline.training.data.named_objects import NamedObject
from trunkline.training.data.numbers import number, truth
from trunkline.training.data.reading import require_small
from trunkline.training.data.remarks import Kind, Remarks

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


def declared_size(document: ElementTree.Element, where: str, remarks: Remarks) -> Size | None:
    """(width, height); None where that of the picture counts, as some tools write no numbers, or 0.

    Raises DataInvalidError for far too many pixels.
    """
    given = [(document.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
    found = [number(text) for text in given]
    width, height = (0 if side is None else round(side) for side in found)
    if width > 0 and height > 0:
        require_small((width, height))
        return width, height
    if any(given):
        text = "its size is not two numbers above 0: the size of the picture is taken"
        remarks.read(Kind.SIZE, where, text)
    return None


def objects_of(
    document: ElementTree.Element, size: Size, source: str, remarks: Remarks, first: int = 1
) -> Iterator[NamedObject]:
    """The objects that are sound; the others are named by `source`, the file.

    size: of the picture. first: what its first pixel is called, 1 or 0.
    """
    for place, element in enumerate(document.iter("object"), 1):
        class_name, name = (element.findtext("name") or "").strip(), f"object {place}"
        where = f"{source}: {name}"
        if not class_name:
            remarks.leave_out("object", Kind.CLASS, where, "it has no name of a class")
            continue
        box = _box(element, size, where, remarks, first)
        if box is not None:
            yield NamedObject(class_name, box, _is_difficult(element, where, remarks), name)


def _is_difficult(element: ElementTree.Element, where: str, remarks: Remarks) -> bool:
    given = (element.findtext("difficult") or "").strip()
    found = truth(given) if given else False
    if found is None or given not in ("", "0", "1"):
        remarks.read(Kind.CROWD, where, f"difficult is neither 0 nor 1 and is read as {int(found or False)}")
    return bool(found)


def _box(element: ElementTree.Element, size: Size, where: str, remarks: Remarks, first: int) -> Box | None:
    sides = [number(element.findtext(f"bndbox/{side}") or "") for side in _SIDES]
    x_min, y_min, x_max, y_max = (math.nan if side is None else side for side in sides)
    if None in sides:
        remarks.leave_out("object", Kind.BOX, where, f"it has no bndbox of four numbers {', '.join(_SIDES)}")
        return None
    if x_max <= x_min or y_max <= y_min:
        remarks.leave_out("object", Kind.BOX, where, "the box has no area")
        return None
    return fitted_box(Box(x_min - first, y_min - first, x_max, y_max), size, where, remarks)
