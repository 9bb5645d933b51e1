"""The shapes that people draw in tools that label, as objects in pixels of the picture."""

import math
from collections.abc import Sequence
from typing import Any, Final

from trunkline.core.results import Box
from trunkline.training.data.boxes import Size, box_around, fitted_box, outline_fault
from trunkline.training.data.named_objects import NamedObject
from trunkline.training.data.numbers import number
from trunkline.training.data.outlines import Outline, Polygons
from trunkline.training.data.remarks import Kind, Remarks

_ROUND: Final = 64  # points of a round outline
_FULL: Final = 360.0  # degrees
_ROUNDING: Final = 0.01  # degrees that are not worth a word

Line = tuple[float, ...]  # x, y, x, y, …


class Shapes:
    """Collects the objects of one picture; what is none is left out with a remark.

    Numbers are as annotations give them, also as texts. name: which shape of the file it is.
    """

    def __init__(self, size: Size, where: str, remarks: Remarks) -> None:
        """size: (width, height) of the upright picture. where: the file, and what it calls the picture."""
        self.size, self.objects = size, list[NamedObject]()
        self._where, self._remarks = where, remarks

    def box(
        self,
        class_name: Any,
        name: str,
        sides: Sequence[Any],
        rotation: Any = 0,
        about: tuple[float, float] | None = None,
    ) -> None:
        """sides: x_min, y_min, x_max, y_max. rotation: in degrees, about this point or the middle; then it is the box
        around."""
        found, turn = self.numbers(sides, name), self.numbers([rotation], name)
        if found is None or turn is None:
            self.leave_out(Kind.BOX, name, "its box is not four numbers")
            return
        box = Box(*found)
        if _ROUNDING < turn[0] % _FULL < _FULL - _ROUNDING:
            middle = ((box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2)
            box = box_around(_turned(corners(box), *(about or middle), turn[0]))
            self.say(Kind.ROTATED, name, "the box is turned: the upright box around it is taken")
        self._add(class_name, name, box, None)

    def outline(self, class_name: Any, name: str, lines: Sequence[Sequence[Any]]) -> None:
        """lines: closed ones, x, y, x, y, …, whose areas are joined."""
        found = [self.numbers(line, name) for line in lines]
        sound = [tuple(line) for line in found if line is not None]
        fault = "a polygon has a coordinate that is not a number" if len(sound) < len(found) else ""
        fault = fault or outline_fault(sound, self.size)
        if fault or not sound:
            self.leave_out(Kind.OUTLINE, name, fault or "it has no points")
            return
        self._add(class_name, name, _around(sound), Polygons(*self.size, tuple(sound)))

    def ellipse(self, class_name: Any, name: str, middle_and_radii: Sequence[Any], rotation: Any = 0) -> None:
        """middle_and_radii: x, y, and the two radii. rotation: in degrees."""
        found = self.numbers([*middle_and_radii, rotation], name)
        if found is None or min(found[2:4]) <= 0:
            self.leave_out(Kind.OUTLINE, name, "it has no middle and radii above 0")
            return
        self.outline(class_name, name, [round_line(*found)])

    def mask(self, class_name: Any, name: str, box: Box, mask: Outline) -> None:
        """An outline that is given by its pixels, and the box around them."""
        self._add(class_name, name, box, mask)

    def numbers(self, values: Sequence[Any], name: str) -> list[float] | None:
        """Each as a finite number; None where one is none."""
        found = [number(value) for value in values]
        plain = [value for value in found if value is not None]
        if len(plain) < len(found):
            return None
        if any(isinstance(value, str) for value in values):
            self.say(Kind.NUMBER, name, "its texts are read as numbers")
        return plain

    def say(self, kind: Kind, name: str, text: str) -> None:
        """A shape is read otherwise than it stands there."""
        self._remarks.read(kind, f"{self._where}: {name}", text)

    def leave_out(self, kind: Kind, name: str, text: str) -> None:
        """A shape is not read."""
        self._remarks.leave_out("object", kind, f"{self._where}: {name}", text)

    def _add(self, class_name: Any, name: str, box: Box, mask: Outline | None) -> None:
        if not isinstance(class_name, str) or not class_name.strip():
            self.leave_out(Kind.CLASS, name, "it has no name of a class")
            return
        fitted = fitted_box(box, self.size, f"{self._where}: {name}", self._remarks)
        if fitted is not None:
            self.objects.append(NamedObject(class_name.strip(), fitted, False, name, mask))


def corners(box: Box) -> Line:
    """The outline of a box."""
    return (box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max, box.x_min, box.y_max)


def round_line(x: float, y: float, radius_x: float, radius_y: float, rotation: float = 0.0) -> Line:
    """An ellipse as 64 points. rotation: in degrees, clockwise on the screen."""
    angles = (2 * math.pi * step / _ROUND for step in range(_ROUND))
    line = [value for a in angles for value in (x + radius_x * math.cos(a), y + radius_y * math.sin(a))]
    return _turned(line, x, y, rotation)


def _turned(line: Sequence[float], x: float, y: float, rotation: float) -> Line:
    sine, cosine = math.sin(math.radians(rotation)), math.cos(math.radians(rotation))
    pairs = ((a - x, b - y) for a, b in zip(line[::2], line[1::2], strict=True))
    return tuple(value for a, b in pairs for value in (x + a * cosine - b * sine, y + a * sine + b * cosine))


def _around(lines: Sequence[Line]) -> Box:
    return box_around([value for line in lines for value in line])
