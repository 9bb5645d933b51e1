"""The results of a task of Label Studio as shapes, and as classes of the whole picture."""

from collections.abc import Sequence
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.brush import brush_of
from trunkline.training.data.numbers import number
from trunkline.training.data.outlines import extent
from trunkline.training.data.remarks import Kind
from trunkline.training.data.shapes import Shapes

_WHOLE: Final = "choices"

_Result = dict[str, Any]


def read_results(results: Sequence[_Result], shapes: Shapes) -> tuple[str, ...]:
    """Adds the shapes; returns the choices."""
    tags = []
    labelled = {each.get("id") for each in results if _labels(each) and isinstance(each.get("id"), str)}
    for place, each in enumerate(results, 1):
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


def _labels(each: _Result) -> list[Any]:
    """Of a region: the value that is called after the type."""
    value = each.get("value")
    given = value.get(each.get("type")) if isinstance(value, dict) and isinstance(each.get("type"), str) else None
    return given if isinstance(given, list) else []


def _add(shapes: Shapes, name: str, each: _Result, value: _Result) -> None:
    labels, kind = _labels(each), str(each.get("type"))
    if number(each.get("image_rotation") or 0) != 0:
        shapes.leave_out(Kind.ROTATED, name, "it is of a picture that was turned in the tool")
        return
    if len(labels) > 1:
        shapes.leave_out(Kind.CLASS, name, f"it has {len(labels)} classes")
        return
    label = labels[0] if labels else None
    if "points" in value and kind.startswith(("polygon", "labels")):
        _add_polygon(shapes, label, name, value["points"])
    elif "radiusX" in value and kind.startswith(("ellipse", "labels")):
        sides = _pixels(shapes, name, [value.get(key) for key in ("x", "y", "radiusX", "radiusY")])
        shapes.ellipse(label, name, sides or (0, 0, 0, 0), value.get("rotation") or 0)
    elif "rle" in value and kind.startswith(("brush", "labels")):
        _add_brush(shapes, label, name, value["rle"])
    elif "width" in value and kind.startswith(("rectangle", "labels")):
        _add_box(shapes, label, name, value)
    else:
        shapes.leave_out(Kind.SHAPE, name, "it is neither rectangle, polygon, ellipse, brush nor choice")


def _add_polygon(shapes: Shapes, label: Any, name: str, points: Any) -> None:
    pairs = isinstance(points, list) and all(isinstance(each, list) and len(each) == 2 for each in points)
    line = _pixels(shapes, name, [side for point in points for side in point]) if pairs else None
    if line is None:
        shapes.leave_out(Kind.OUTLINE, name, "its points are no list of [x, y]")
    else:
        shapes.outline(label, name, [line])


def _add_brush(shapes: Shapes, label: Any, name: str, packed: Any) -> None:
    try:
        brush = brush_of(packed, *shapes.size)
        sides = extent(brush.load())
    except DataInvalidError as error:
        shapes.leave_out(Kind.OUTLINE, name, error.message)
        return
    if sides is None:
        shapes.leave_out(Kind.OUTLINE, name, "nothing is painted")
        return
    shapes.mask(label, name, Box(*sides), brush)


def _add_box(shapes: Shapes, label: Any, name: str, value: _Result) -> None:
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
