"""One XML file of Pascal VOC: the size of its picture and the objects in it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.parsers.expat import ErrorString

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.boxes import Size, fitted_box
from trunkline.training.data.numbers import number, truth
from trunkline.training.data.reading import LARGEST_XML, open_data, reason_of, require_small
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.texts import require_encoding

_DECLARATIONS: Final = ("<!DOCTYPE", "<!ENTITY")
_START: Final = 200  # bytes in which a declaration stands
_ENCODING: Final = re.compile(rb"""\s*(?:\xef\xbb\xbf)?<\?xml[^>]{0,80}encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})""")
_DECLARED: Final = re.compile(r"<\?xml[^>]{0,200}\?>")
_OWN: Final = ("", "utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "ascii", "us-ascii")
_CHINESE: Final = ("gb2312", "gbk", "gb_2312-80", "cp936", "gb18030")
_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class NamedObject:
    """An object before the classes are known. name: which of the file it is, for messages."""

    class_name: str
    box: Box
    crowd: bool
    name: str


def parse(path: Path, where: str, remarks: Remarks) -> ElementTree.Element:
    """The root of the file. Raises DataInvalidError without its name."""
    try:
        with open_data(path, LARGEST_XML) as file:
            data = file.read(LARGEST_XML)
    except OSError as error:
        raise DataInvalidError(f"it cannot be read: {reason_of(error)}") from error
    if not data.strip():
        raise DataInvalidError("the file is empty")
    try:
        return ElementTree.fromstring(_plain(data, where, remarks))
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataInvalidError(f"not XML: {ErrorString(error.code)}, line {line}, column {column}") from error
    except (ValueError, LookupError) as error:
        raise DataInvalidError("not XML that can be read: its encoding is not known") from error


def _plain(data: bytes, where: str, remarks: Remarks) -> str:
    """The text without its declaration: the parser knows few encodings, and what is declared is not always true."""
    declared = _ENCODING.match(data[:_START])
    name = declared[1].decode("ascii").lower() if declared else ""
    if name in _OWN or data[:1] not in b"<\xef \t\r\n":
        name = require_encoding(data, where, remarks)
    elif name in _CHINESE:
        name = "gb18030"
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        text = data.decode(require_encoding(data, where, remarks))
    else:
        if not name.startswith("utf-"):
            remarks.read(Kind.ENCODING, where, "the text is not UTF-8 and is read as its declaration says")
    if any(word in text for word in _DECLARATIONS):
        raise DataInvalidError("it declares a document type or entities, which no file of VOC does")
    return _DECLARED.sub("", text.lstrip("\ufeff \t\r\n"), count=1)


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


def objects_of(document: ElementTree.Element, size: Size, source: str, remarks: Remarks) -> Iterator[NamedObject]:
    """The objects that are sound; the others are named by `source`, the file. size: of the picture."""
    for place, element in enumerate(document.iter("object"), 1):
        class_name, name = (element.findtext("name") or "").strip(), f"object {place}"
        where = f"{source}: {name}"
        if not class_name:
            remarks.leave_out("object", Kind.CLASS, where, "it has no name of a class")
            continue
        box = _box(element, size, where, remarks)
        if box is not None:
            yield NamedObject(class_name, box, _is_difficult(element, where, remarks), name)


def _is_difficult(element: ElementTree.Element, where: str, remarks: Remarks) -> bool:
    given = (element.findtext("difficult") or "").strip()
    found = truth(given) if given else False
    if found is None or given not in ("", "0", "1"):
        remarks.read(Kind.CROWD, where, f"difficult is neither 0 nor 1 and is read as {int(found or False)}")
    return bool(found)


def _box(element: ElementTree.Element, size: Size, where: str, remarks: Remarks) -> Box | None:
    sides = [number(element.findtext(f"bndbox/{side}") or "") for side in _SIDES]
    x_min, y_min, x_max, y_max = (math.nan if side is None else side for side in sides)
    if None in sides:
        remarks.leave_out("object", Kind.BOX, where, f"it has no bndbox of four numbers {', '.join(_SIDES)}")
        return None
    if x_max <= x_min or y_max <= y_min:
        remarks.leave_out("object", Kind.BOX, where, "the box has no area")
        return None
    return fitted_box(Box(x_min - 1, y_min - 1, x_max, y_max), size, where, remarks)
