"""Data sets in VGG Image Annotator's own JSON or CSV: regions as objects.

Source: Dutta and Zisserman, The VIA Annotation Software for Images, Audio and Video, ACM Multimedia 2019.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import printable
from trunkline.training.data.json_text import read_json
from trunkline.training.data.labelled import Entry, ToolData, files_of, places_of, tool_data
from trunkline.training.data.names import Names
from trunkline.training.data.reading import read_start
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes
from trunkline.training.data.splits import NONE
from trunkline.training.data.table import read_table

_START: Final = 262_144  # a project begins with its settings
_PROJECT: Final = "_via_img_metadata"
_OWN: Final = re.compile(rb'"(_via_img_metadata|shape_attributes|file_attributes)"\s*:')
_COLUMNS: Final = ("filename", "region_shape_attributes", "region_attributes")
_CLASS: Final = ("class", "label", "name", "category", "type", "object")

_Picture = tuple[str, dict[str, Any]]  # the place in the file, and what it says
_Region = dict[str, Any]


def read_via(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures of VIA's files in the folder or below its splits, or of the file itself; None without any.

    The class of a region is the value of its one attribute, or of the one that is called class, label, name, category
    or type. Rectangles are boxes; polygons, circles and ellipses (as 64 points) outlines. Raises DataInvalidError for
    a file that cannot be read.
    """
    base, entries, found = (root.parent if root.is_file() else root), list[Entry](), False
    names = Names(base)
    for path, split in _files(root):
        pictures = _pictures(path, remarks)
        if pictures is not None:
            found = True
            folders = [folder for folder in (path.parent, path.parent / "images", base) if folder.is_dir()]
            where = printable(path.relative_to(base).as_posix())
            entries += _entries(pictures, where, split, folders, names, remarks)
    return tool_data(base, "via", entries, remarks) if found else None


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    if root.is_file():
        if _is_via(root):
            yield root, NONE
        return
    for folder, split in places_of(root):
        for suffix in (".json", ".csv"):
            yield from ((path, split) for path in files_of(folder, suffix) if _is_via(path))


def _is_via(path: Path) -> bool:
    if path.suffix.lower() not in (".json", ".csv"):
        return False
    start = read_start(path, _START).replace(b"\0", b"")
    if path.suffix.lower() == ".json":
        return _OWN.search(start) is not None
    header = start.partition(b"\n")[0]
    return all(column.encode() in header for column in _COLUMNS)


def _pictures(path: Path, remarks: Remarks) -> list[_Picture] | None:
    """None for a file that is not VIA's."""
    if path.suffix.lower() == ".csv":
        return list(_of_table(path, remarks))
    document = read_json(path, remarks)
    found = document.get(_PROJECT, document) if isinstance(document, dict) else None
    if not isinstance(found, dict) or not any(isinstance(e, dict) and "regions" in e for e in found.values()):
        return None
    return [
        (f"picture {place}", entry if isinstance(entry, dict) else {})
        for place, entry in enumerate(found.values(), 1)
    ]


def _of_table(path: Path, remarks: Remarks) -> Iterator[_Picture]:
    """The rows of one picture together."""
    table = read_table(path, remarks)
    if not set(_COLUMNS) <= set(table.columns):
        raise DataInvalidError.at(path, "it lacks columns that files of VGG Image Annotator have", 1)
    found: dict[str, tuple[int, list[_Region]]] = {}
    for row in table.rows:
        _, regions = found.setdefault(row["filename"], (row.line, []))
        shape, values = (_object(row[column]) for column in _COLUMNS[1:])
        if shape != {}:
            regions.append({"shape_attributes": shape, "region_attributes": values})
    for name, (line, regions) in found.items():
        yield f"line {line}", {"filename": name, "regions": regions}


def _object(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None


def _entries(
    pictures: Iterable[_Picture], where: str, split: str, folders: list[Path], names: Names, remarks: Remarks
) -> Iterator[Entry]:
    known = [(place, entry, _regions(entry.get("regions"))) for place, entry in pictures]
    key = _class_key(region for _, _, regions in known for region in regions or ())
    for place, entry, regions in known:
        name = entry.get("filename")
        if not isinstance(name, str) or regions is None:
            remarks.leave_out("picture", Kind.ENTRY, f"{where}: {place}", "it has no filename, or no list of regions")
            continue
        picture = names.find(name, folders)
        sure = picture is not None and not picture.read_as
        yield Entry(f"{where}: {place}", picture, sure, split, (None, None), partial(_read, regions, key))


def _regions(given: Any) -> list[Any] | None:
    """A list; files of long ago have an object with numbers as keys."""
    return list(given.values()) if isinstance(given, dict) else given if isinstance(given, list) else None


def _class_key(regions: Iterable[Any]) -> str | None:
    """The attribute that is the class, of all regions; None where that is in doubt."""
    counts: Counter[str] = Counter()
    for region in regions:
        values = region.get("region_attributes") if isinstance(region, dict) else None
        counts.update(values.keys() if isinstance(values, dict) else ())
    if len(counts) == 1:
        return next(iter(counts))
    named = {key.lower(): key for key in counts}
    return next((named[key] for key in _CLASS if key in named), None)


def _read(regions: list[Any], key: str | None, shapes: Shapes) -> tuple[str, ...]:
    for place, region in enumerate(regions, 1):
        shape = region.get("shape_attributes") if isinstance(region, dict) else None
        if isinstance(shape, dict):
            _add(shapes, f"region {place}", shape, _class_of(region.get("region_attributes"), key))
        else:
            shapes.leave_out(Kind.ENTRY, f"region {place}", "it has no shape")
    return ()


def _class_of(values: Any, key: str | None) -> str:
    """The value, or the one box that is ticked; "" for none."""
    value = values.get(key) if isinstance(values, dict) and key is not None else None
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on is True or on == "true"]
        return ticked[0] if len(ticked) == 1 else ""
    return value if isinstance(value, str) else ""


def _add(shapes: Shapes, name: str, shape: Mapping[str, Any], label: str) -> None:
    match shape.get("name"):
        case "rect":
            sides = shapes.numbers([shape.get(key) for key in ("x", "y", "width", "height")], name)
            if sides is None:
                shapes.leave_out(Kind.BOX, name, "its box is not four numbers")
                return
            x, y, width, height = sides
            shapes.box(label, name, (x, y, x + width, y + height))
        case "polygon":
            xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
            if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
                shapes.leave_out(Kind.OUTLINE, name, "its points are no two lists of one length")
                return
            line = [value for point in zip(xs, ys, strict=True) for value in point]
            ends = line[:-2] if len(xs) > 3 and line[:2] == line[-2:] else line  # some close it by the first point
            shapes.outline(label, name, [ends])
        case "circle":
            shapes.ellipse(label, name, [shape.get(key) for key in ("cx", "cy", "r", "r")])
        case "ellipse":
            radii = [shape.get(key) for key in ("cx", "cy", "rx", "ry")]
            shapes.ellipse(label, name, radii, _degrees(shape.get("theta")))
        case _:
            shapes.leave_out(Kind.SHAPE, name, "it is neither rectangle, polygon, circle nor ellipse")


def _degrees(theta: Any) -> Any:
    """VIA has radians."""
    if isinstance(theta, int | float) and not isinstance(theta, bool):
        return theta * 180 / math.pi
    return 0 if theta is None else theta
