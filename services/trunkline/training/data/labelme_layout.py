"""Data sets with annotations in the JSON of labelme, a file for each picture.

Source: Wada, labelme, and its own conversion to COCO, by which shapes of one label and one group are one object.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.core.text import printable
from trunkline.training.data.embedded import Embedded
from trunkline.training.data.json_text import read_json, unnamed
from trunkline.training.data.labelled import Entry, ToolData, places_of, tool_data
from trunkline.training.data.labelme_files import is_labelme
from trunkline.training.data.labelme_masks import add_mask
from trunkline.training.data.names import Names, listed
from trunkline.training.data.pictures_beside import picture_of
from trunkline.training.data.reading import is_file, largest_annotations
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes, corners, round_line

_BELOW: Final = ("annotations", "labels", "json", "jsons")  # beside the pictures' own folder
_PICTURE: Final = "imageData"

_Shape = dict[str, Any]


def read_labelme(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures, or None where no folder holds labelme's files.

    The files lie beside their pictures, or in annotations/, labels/ or json/, also below the splits. The picture of a
    file is the one that is called as the file is, or else that of `imagePath`, or else the one in `imageData`.
    Polygons are outlines, circles too, as 64 points, and masks; rectangles are boxes. Other shapes are left out.
    """
    if root.is_file():
        return None
    names, entries, room = Names(root), list[Entry](), largest_annotations()
    for path, split, folders in _files(root):
        entry, size = _entry(root, path, split, folders, names, remarks)
        entries += [entry] if entry is not None else []
        room -= size
        if room < 0:
            raise DataInvalidError.at(root, "its files of annotations are too large together: split the data")
    return tool_data(root, "labelme", entries, remarks) if entries or remarks.left_out else None


def _files(root: Path) -> Iterator[tuple[Path, str, list[Path]]]:
    """With their splits, and the folders in which their pictures may lie."""
    for base, split in places_of(root):
        for folder in (base, *(base / name for name in _BELOW)):
            files = [path for path in listed(folder, ".json") if is_file(path)]
            if any(map(is_labelme, files[:3])):
                folders = [place for place in (folder, base / "images", base) if place.is_dir()]
                yield from ((path, split, folders) for path in files)


def _entry(
    root: Path, path: Path, split: str, folders: list[Path], names: Names, remarks: Remarks
) -> tuple[Entry | None, int]:
    """None where it is left out; and how many bytes the file has without the picture in it."""
    where = printable(path.relative_to(root).as_posix())
    try:
        document = read_json(path, remarks)
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            raise DataInvalidError.at(path, "it has no list of shapes, which labelme's files have")
    except DataInvalidError as error:
        remarks.leave_out("picture", Kind.TEXT, where, unnamed(error, path))
        return None, 0
    given = document.get("imagePath")
    name = given if isinstance(given, str) else ""
    picture, own = picture_of(names, path, name, folders)
    if picture is not None and own and name:
        said = name.replace("\\", "/").rpartition("/")[2]
        if said not in (picture.path.name, picture.path.stem):
            taken = printable(picture.path.relative_to(root).as_posix())
            text = f"its imagePath is another one: {taken} is taken, which is called as it is"
            remarks.read(Kind.STALE_NAME, where, text)
    inside = document.get(_PICTURE)
    embedded, length = (Embedded(path, _PICTURE, where), len(inside)) if isinstance(inside, str) else (None, 0)
    shapes, size = document["shapes"], (document.get("imageWidth"), document.get("imageHeight"))
    entry = Entry(where, picture, own, split, size, partial(_read, shapes), embedded)
    return entry, path.stat().st_size - length


def _read(given: list[Any], shapes: Shapes) -> tuple[str, ...]:
    for name, group in _grouped(given, shapes):
        if len(group) == 1:
            _add(name, group[0], shapes)
        else:
            lines = [line for each in group if (line := _line(name, each, shapes)) is not None]
            if lines:
                shapes.outline(group[0].get("label"), name, lines)
    return ()


def _grouped(given: Iterable[Any], shapes: Shapes) -> Iterator[tuple[str, list[_Shape]]]:
    """Shapes with their names; those of one label and one group_id together."""
    found: dict[object, tuple[str, list[_Shape]]] = {}
    for place, shape in enumerate(given, 1):
        name = f"shape {place}"
        if not isinstance(shape, dict):
            shapes.leave_out(Kind.ENTRY, name, "it is no shape")
            continue
        group, label = shape.get("group_id"), shape.get("label")
        sure = isinstance(group, int | str) and isinstance(label, str)
        key = (label, group) if sure else place
        found.setdefault(key, (name, []))[1].append(shape)
    yield from found.values()


def _add(name: str, shape: _Shape, shapes: Shapes) -> None:
    if shape.get("shape_type") == "rectangle":
        box = _rectangle(name, shape, shapes)
        if box is not None:
            shapes.box(shape.get("label"), name, (box.x_min, box.y_min, box.x_max, box.y_max))
        return
    if shape.get("shape_type") == "mask":
        add_mask(name, shape, _points(name, shape, shapes), shapes)
        return
    line = _line(name, shape, shapes)
    if line is not None:
        shapes.outline(shape.get("label"), name, [line])


def _line(name: str, shape: _Shape, shapes: Shapes) -> tuple[float, ...] | None:
    """The outline of a shape with an area; None for one that is left out."""
    kind = shape.get("shape_type") or "polygon"  # files of long ago say none
    if kind == "rectangle":
        box = _rectangle(name, shape, shapes)
        return None if box is None else corners(box)
    if kind not in ("polygon", "circle"):
        shapes.leave_out(Kind.SHAPE, name, "it is neither polygon, rectangle, circle nor a mask of its own")
        return None
    points = _points(name, shape, shapes)
    if points is None or kind == "polygon":
        return points
    if len(points) != 4 or points[:2] == points[2:]:
        shapes.leave_out(Kind.OUTLINE, name, "a circle is not its middle and a point on it")
        return None
    radius = ((points[2] - points[0]) ** 2 + (points[3] - points[1]) ** 2) ** 0.5
    return round_line(points[0], points[1], radius, radius)


def _rectangle(name: str, shape: _Shape, shapes: Shapes) -> Box | None:
    """From two corners that face each other, or four."""
    points = _points(name, shape, shapes)
    if points is None:
        return None
    xs, ys = points[::2], points[1::2]
    if len(xs) not in (2, 4) or len(set(xs)) > 2 or len(set(ys)) > 2:
        shapes.leave_out(Kind.BOX, name, "a rectangle is neither two corners that face each other nor four")
        return None
    return Box(min(xs), min(ys), max(xs), max(ys))


def _points(name: str, shape: _Shape, shapes: Shapes) -> tuple[float, ...] | None:
    given = shape.get("points")
    pairs = isinstance(given, list) and all(isinstance(point, list) and len(point) == 2 for point in given)
    found = shapes.numbers([value for point in given for value in point], name) if given and pairs else None
    if found is None:
        shapes.leave_out(Kind.OUTLINE, name, "its points are no list of [x, y]")
        return None
    return tuple(found)
