"""Data sets in the JSON that Label Studio exports: boxes, polygons, ellipses, choices as classes of pictures.

Source: the description of the export formats in the documentation of Label Studio.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.json_text import read_json
from trunkline.training.data.labelled import Entry, ToolData, files_of, places_of, tool_data
from trunkline.training.data.names import Found, Names
from trunkline.training.data.numbers import number, truth
from trunkline.training.data.reading import read_start
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes

_START: Final = 65_536
_LIST: Final = re.compile(rb"^\W*\[\s*\{")
_OWN: Final = re.compile(rb'"(annotations|completions)"\s*:\s*\[')
_DATA: Final = re.compile(rb'"(data|predictions|file_upload|id)"\s*:')
_PREFIX: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")  # of the names of uploads
_LOCAL: Final = "?d="
_KEYS: Final = ("image", "img", "picture", "photo")
_WHOLE: Final = "choices"

_Task = dict[str, Any]


def read_label_studio(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures of a file that Label Studio exported as JSON, or None where there is none.

    The file is any *.json in the folder or below its splits, or the root itself. Pictures are found by the end of
    their paths and URLs, those of uploads also without the eight digits that Label Studio puts before their names.
    Of a task the first annotation that is not cancelled counts; predictions do not. Raises DataInvalidError for a
    file that is no JSON.
    """
    base, found, entries = (root.parent if root.is_file() else root), False, list[Entry]()
    names = Names(base)
    for path, split in _files(root):
        document = read_json(path, remarks)
        if isinstance(document, list) and any(_is_task(task) for task in document):
            found = True
            entries += _File(base, path, split, names, remarks).entries(document)
    return tool_data(base, "label-studio", entries, remarks) if found else None


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    if root.is_file():
        if root.suffix.lower() == ".json" and _may_be(root):
            yield root, ""
        return
    for folder, split in places_of(root):
        yield from ((path, split) for path in files_of(folder, ".json") if _may_be(path))


def _may_be(path: Path) -> bool:
    start = read_start(path, _START).replace(b"\0", b"")
    return all(pattern.search(start) for pattern in (_LIST, _OWN, _DATA))


def _is_task(task: object) -> bool:
    return isinstance(task, dict) and isinstance(task.get("data"), dict) and _annotations(task) is not None


def _annotations(task: _Task) -> list[Any] | None:
    given = task.get("annotations", task.get("completions"))
    return given if isinstance(given, list) else None


class _File:
    """One export."""

    def __init__(self, root: Path, path: Path, split: str, names: Names, remarks: Remarks) -> None:
        self._split, self._names, self._remarks = split, names, remarks
        folders = (path.parent, path.parent / "images", root, root / "images")
        self._folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self._where = printable(path.relative_to(root).as_posix())

    def entries(self, tasks: Sequence[Any]) -> Iterator[Entry]:
        for place, task in enumerate(tasks, 1):
            where = f"{self._where}: task {place}"
            if not _is_task(task):
                self._remarks.leave_out("picture", Kind.ENTRY, where, "it has no data and no list of annotations")
                continue
            result = self._result(task, where)
            if result is None:
                continue
            picture = self._picture(task)
            sizes = ((each.get("original_width"), each.get("original_height")) for each in result)
            size = next((size for size in sizes if size != (None, None)), (None, None))
            sure = picture is not None and not picture.read_as
            yield Entry(where, picture, sure, self._split, size, partial(_read, result))

    def _result(self, task: _Task, where: str) -> list[_Task] | None:
        """Of the one annotation that counts; None where the picture is left out."""
        given = [each for each in _annotations(task) or () if isinstance(each, dict)]
        kept = [each for each in given if not truth(each.get("was_cancelled"))]
        if not kept:
            text = "its annotations are cancelled" if given else "nobody has annotated it"
            self._remarks.leave_out("picture", Kind.UNLABELLED, where, text)
            return None
        if len(kept) > 1:
            self._remarks.read(Kind.SEVERAL, where, f"it has {len(kept)} annotations: the first is taken")
        result = kept[0].get("result")
        if not isinstance(result, list) or not all(isinstance(each, dict) for each in result):
            self._remarks.leave_out("picture", Kind.ENTRY, where, "its annotation has no list of results")
            return None
        return result

    def _picture(self, task: _Task) -> Found | None:
        for name in _names(task):
            found = self._names.find(name, self._folders)
            if found is not None:
                return found
        for name in _names(task):
            plain = _PREFIX.sub("", name.rpartition("/")[2])
            found = self._names.find(plain, self._folders)
            if found is not None:
                return found if found.read_as else Found(found.path, (Kind.PATH_END,))
        return None


def _names(task: _Task) -> list[str]:
    """What the task may call its picture."""
    data = task["data"]
    texts = {key: value for key, value in data.items() if isinstance(key, str) and isinstance(value, str)}
    key = next((key for key in _KEYS if key in texts), None)
    given = [texts[key]] if key else [name for name in map(_plain, texts.values()) if _is_picture(name)]
    upload = task.get("file_upload")
    names = [upload] if isinstance(upload, str) and upload else []
    return [*map(_plain, given), *names] if len(given) < 2 else names


def _plain(name: str) -> str:
    """Without what is no path: the start of a local file, or the end of a URL that is signed."""
    if _LOCAL in name:
        return name.partition(_LOCAL)[2]
    return name.partition("?")[0] if "://" in name else name


def _is_picture(name: str) -> bool:
    return f".{name.rpartition('.')[2].lower()}" in PICTURE_SUFFIXES


def _read(result: Sequence[_Task], shapes: Shapes) -> tuple[str, ...]:
    tags = []
    labelled = {each.get("id") for each in result if _labels(each) and isinstance(each.get("id"), str)}
    for place, each in enumerate(result, 1):
        name, value = f"result {place}", each.get("value")
        if each.get("type") == _WHOLE:
            tags += _choices(value)
        elif not isinstance(value, dict):
            shapes.leave_out(Kind.ENTRY, name, "it has no value")
        elif _labels(each) or not (isinstance(each.get("id"), str) and each["id"] in labelled):
            _add(shapes, name, each, value)
    return tuple(tags)


def _choices(value: object) -> list[str]:
    given = value.get("choices") if isinstance(value, dict) else None
    return [choice for choice in given if isinstance(choice, str)] if isinstance(given, list) else []


def _labels(each: _Task) -> list[Any]:
    """Of a region: the value that is called after the type."""
    value = each.get("value")
    given = value.get(each.get("type")) if isinstance(value, dict) and isinstance(each.get("type"), str) else None
    return given if isinstance(given, list) else []


def _add(shapes: Shapes, name: str, each: _Task, value: _Task) -> None:
    labels, kind = _labels(each), str(each.get("type"))
    if number(each.get("image_rotation") or 0) != 0:
        shapes.leave_out(Kind.ROTATED, name, "it is of a picture that was turned in the tool")
        return
    if len(labels) > 1:
        shapes.leave_out(Kind.CLASS, name, f"it has {len(labels)} classes")
        return
    label = labels[0] if labels else None
    if "points" in value and kind.startswith(("polygon", "labels")):
        points = value["points"]
        pairs = isinstance(points, list) and all(isinstance(each, list) and len(each) == 2 for each in points)
        line = _pixels(shapes, name, [side for point in points for side in point]) if pairs else None
        if line is None:
            shapes.leave_out(Kind.OUTLINE, name, "its points are no list of [x, y]")
        else:
            shapes.outline(label, name, [line])
    elif "radiusX" in value and kind.startswith(("ellipse", "labels")):
        sides = _pixels(shapes, name, [value.get(key) for key in ("x", "y", "radiusX", "radiusY")])
        shapes.ellipse(label, name, sides or (0, 0, 0, 0), value.get("rotation") or 0)
    elif "width" in value and kind.startswith(("rectangle", "labels")):
        _add_box(shapes, label, name, value)
    else:
        shapes.leave_out(Kind.SHAPE, name, "it is neither rectangle, polygon, ellipse nor choice")


def _add_box(shapes: Shapes, label: Any, name: str, value: _Task) -> None:
    """A box is turned about its top-left corner there."""
    sides = _pixels(shapes, name, [value.get(key) for key in ("x", "y", "width", "height")])
    if sides is None:
        shapes.leave_out(Kind.BOX, name, "its box is not four numbers")
        return
    x, y, width, height = sides
    shapes.box(label, name, (x, y, x + width, y + height), value.get("rotation") or 0, about=(x, y))


def _pixels(shapes: Shapes, name: str, values: Sequence[Any]) -> list[float] | None:
    """Percentages, x and y in turn, as pixels; None where one is no number."""
    found, (width, height) = shapes.numbers(values, name), shapes.size
    if found is None:
        return None
    return [value / 100 * (height if place % 2 else width) for place, value in enumerate(found)]
