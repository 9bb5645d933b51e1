"""Data sets in CVAT's XML for images 1.1: boxes, polygons, ellipses, masks, and tags as classes of whole pictures.

Source: the description of the format in the documentation of CVAT.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.core.text import printable
from trunkline.training.data.labelled import Entry, ToolData, files_of, places_of, tool_data
from trunkline.training.data.names import Names
from trunkline.training.data.numbers import number, whole
from trunkline.training.data.outlines import PatchRuns
from trunkline.training.data.reading import is_there, largest_annotations, read_start
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes
from trunkline.training.data.splits import NONE, split_named
from trunkline.training.data.xml_text import no_xml, read_xml

_START: Final = 4096
_FOLDERS: Final = ("annotations", "Annotations")
_BYTES_AN_ELEMENT: Final = 64  # of the limit on the size of the file: a picture takes a kilobyte of memory
_BYTES_A_NUMBER: Final = 4
_ROOT: Final = re.compile(rb"<annotations[^<]*>\s*<(version>|meta>|image\s[^>]*\bname=|track\s)")

_Shape = tuple[str, dict[str, str]]  # tag and attributes


def read_cvat(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures of annotations.xml, or of a file, or None where there is none of CVAT's.

    The files lie in the folder, in annotations/ or in those of the splits; pictures below it, below images/ or below
    the folder of their subset, which is the split where it has the name of one. Boxes are in pixels, (0, 0) the outer
    corner of the top-left one. Polylines, points, cuboids and skeletons are left out.
    Raises DataInvalidError for a file that is no XML, and for one of a video.
    """
    names, entries, found = Names(base := root.parent if root.is_file() else root), list[Entry](), False
    for path, split in _files(root):
        found = True
        entries += _File(base, path, split, names, remarks).entries()
    return tool_data(base, "cvat", entries, remarks) if found else None


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    if root.is_file():
        if root.suffix.lower() == ".xml" and _is_cvat(root):
            yield root, NONE
        return
    for base, split in places_of(root):
        for folder in (base, *(base / name for name in _FOLDERS)):
            found = (path for path in files_of(folder, ".xml") if _is_cvat(path))
            yield from ((path, split or split_named(path.stem) or NONE) for path in found)


def _is_cvat(path: Path) -> bool:
    return _ROOT.search(read_start(path, _START).replace(b"\0", b"")) is not None


class _File:
    """One file of CVAT's."""

    def __init__(self, root: Path, path: Path, split: str, names: Names, remarks: Remarks) -> None:
        self._root, self._path, self._split, self._names, self._remarks = root, path, split, names, remarks
        self._where = printable(path.relative_to(root).as_posix())

    def entries(self) -> list[Entry]:
        try:
            return list(self._entries())
        except DataInvalidError as error:
            raise DataInvalidError.at(self._path, error.message) from error

    def _entries(self) -> Iterator[Entry]:
        """Raises DataInvalidError without the name of the file."""
        text = read_xml(self._path, largest_annotations(), self._where, self._remarks)
        for place, (attributes, shapes) in enumerate(_images(text), 1):
            subset = attributes.get("subset", "")
            picture = self._names.find(attributes.get("name", ""), self._folders(subset))
            size = attributes.get("width"), attributes.get("height")
            where = f"{self._where}: image {place}"
            sure = picture is not None and not picture.read_as
            split = self._split or split_named(subset) or NONE
            yield Entry(where, picture, sure, split, _whole(size), partial(_read, shapes))

    def _folders(self, subset: str) -> list[Path]:
        """In which a picture may lie."""
        base = self._path.parent
        folders = [self._root, base, base / "images", self._root / "images"]
        if subset.strip(".") and "/" not in subset:
            folders += [folder / subset for folder in folders]
        return [folder for folder in dict.fromkeys(folders) if is_there(folder) and folder.is_dir()]


def _whole(size: Sequence[str | None]) -> tuple[object, object]:
    """As numbers, which is what attributes of XML mean."""
    width, height = (side if side is None or whole(side) is None else whole(side) for side in size)
    return width, height


def _images(text: str) -> Iterator[tuple[dict[str, str], list[_Shape]]]:
    """Attributes and shapes of each image; no more than one of them is in memory as a tree."""
    most = largest_annotations()
    if text.count("<") > most // _BYTES_AN_ELEMENT or text.count(",") > most // _BYTES_A_NUMBER:
        raise DataInvalidError("there are too many elements or numbers for one file")
    root = None
    try:
        for event, element in ElementTree.iterparse(io.StringIO(text), ("start", "end")):
            if root is None:
                root = element
            elif event == "start":
                if element.tag == "track":
                    raise DataInvalidError("it is of a video: export it as CVAT for images")
            elif element.tag == "image":
                yield dict(element.attrib), [(each.tag, dict(each.attrib)) for each in element]
                root.clear()
    except ElementTree.ParseError as error:
        raise no_xml(error) from error


def _read(given: Sequence[_Shape], shapes: Shapes) -> tuple[str, ...]:
    tags = []
    for place, (kind, values) in enumerate(given, 1):
        name, label = f"{kind if kind in _KINDS else 'shape'} {place}", values.get("label")
        if kind == "tag":
            tags.append(label or "")
        elif kind in _KINDS:
            _KINDS[kind](shapes, label, name, values)
        else:
            shapes.leave_out(Kind.SHAPE, name, "it is neither box, polygon, ellipse, mask nor tag")
    return tuple(tags)


def _box(shapes: Shapes, label: Any, name: str, values: Mapping[str, str]) -> None:
    sides = [_number(values, side) for side in ("xtl", "ytl", "xbr", "ybr")]
    shapes.box(label, name, sides, _number(values, "rotation", "0"))


def _polygon(shapes: Shapes, label: Any, name: str, values: Mapping[str, str]) -> None:
    points = [point.split(",") for point in values.get("points", "").split(";") if point.strip()]
    if not points or any(len(point) != 2 for point in points):
        shapes.leave_out(Kind.OUTLINE, name, "its points are not x,y;x,y;…")
        return
    shapes.outline(label, name, [[_plain(value) for point in points for value in point]])


def _ellipse(shapes: Shapes, label: Any, name: str, values: Mapping[str, str]) -> None:
    given = [_number(values, side) for side in ("cx", "cy", "rx", "ry")]
    shapes.ellipse(label, name, given, _number(values, "rotation", "0"))


def _mask(shapes: Shapes, label: Any, name: str, values: Mapping[str, str]) -> None:
    place = [whole(values.get(side, "")) for side in ("left", "top", "width", "height")]
    left, top, width, height = (-1 if value is None else value for value in place)
    runs = [whole(run) for run in values.get("rle", "").split(",")]
    counts = tuple(run for run in runs if run is not None and run >= 0)
    inside = left + width <= shapes.size[0] and top + height <= shapes.size[1]
    fits = min(left, top) >= 0 and min(width, height) > 0 and inside
    if not fits or len(counts) < len(runs) or sum(counts) != width * height:
        shapes.leave_out(Kind.OUTLINE, name, "its run lengths do not fill a part of the picture")
        return
    mask = PatchRuns(*shapes.size, left, top, width, height, counts)
    shapes.mask(label, name, Box(left, top, left + width, top + height), mask)


def _number(values: Mapping[str, str], name: str, default: str = "") -> Any:
    return _plain(values.get(name, default))


def _plain(text: str) -> Any:
    """The number that an attribute means, or what stands there."""
    found = number(text)
    return text if found is None else found


_KINDS: Final = {"box": _box, "polygon": _polygon, "ellipse": _ellipse, "mask": _mask}
