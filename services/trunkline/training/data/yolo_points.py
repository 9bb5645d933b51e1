"""The points behind the boxes of YOLO's texts, as data.yaml describes them.

Source: the description of the format for poses by Ultralytics: kpt_shape [points, 2 or 3], flip_idx, kpt_names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.boxes import Size
from trunkline.training.data.coco_points import skeleton_of
from trunkline.training.data.numbers import whole
from trunkline.training.data.point_values import place_of
from trunkline.training.data.points import Pair, Place, PointScheme, flips_by_name
from trunkline.training.data.remarks import Kind, Remarks

_NOTHING: Final = (None, "", "null", "Null", "NULL", "~")
_SEEN, _UNKNOWN = 2.0, 0.0
_MOST_POINTS: Final = 10_000


@dataclass(frozen=True)
class YoloPoints:
    """shape: (points, numbers of each). flips: by flip_idx; None where there is none. skeleton: as it is given."""

    shape: tuple[int, int]
    names: tuple[str, ...]
    flips: tuple[Pair, ...] | None
    skeleton: Any

    def scheme(self, where: str, remarks: Remarks) -> PointScheme:
        """What is known of the points beside their places."""
        flips = flips_by_name(self.names) if self.flips is None else self.flips
        return PointScheme(flips, skeleton_of(self.skeleton, self.names, where, remarks, counted_from=0))

    def places(self, values: Sequence[float], size: Size, where: str, remarks: Remarks) -> tuple[Place, ...]:
        """Those that are labelled, in pixels; values: of all points in shares of the picture, [] without any.

        Where points have no visibility, one below 0 is not labelled, and neither is one at the very corner (0, 0).
        """
        points, each = self.shape
        found = []
        for label in range(points if values else 0):
            x, y, *rest = values[label * each : (label + 1) * each]
            known = rest[0] if rest else self._visibility(x, y, label, where, remarks)
            pixels = (x * size[0], y * size[1], known)
            found.append(place_of(label, pixels, size, where, remarks))
        return tuple(each for each in found if each is not None)

    def _visibility(self, x: float, y: float, label: int, where: str, remarks: Remarks) -> float:
        if x == 0 and y == 0:
            remarks.read(Kind.POINT, where, f"point {label + 1} is at the very corner: read as not labelled")
            return _UNKNOWN
        return _UNKNOWN if min(x, y) < 0 else _SEEN


def read_key_points(path: Path, fields: Mapping[str, Any]) -> YoloPoints | None:
    """None without kpt_shape. Raises DataInvalidError for one that is none, or names and flips that do not fit it."""
    given = fields.get("kpt_shape")
    if given in _NOTHING:
        return None
    found = [whole(value) for value in given] if isinstance(given, list) else []
    if len(found) != 2 or found[0] is None or found[0] < 1 or found[1] not in (2, 3):
        raise DataInvalidError.at(path, "kpt_shape is not [points, 2] or [points, 3]")
    count = found[0]
    if count > _MOST_POINTS:
        raise DataInvalidError.at(path, f"kpt_shape says {count} points; the limit is {_MOST_POINTS}")
    names = _names(path, fields.get("kpt_names"), count)
    return YoloPoints((count, found[1]), names, _flips(path, fields.get("flip_idx"), names), fields.get("skeleton"))


def _names(path: Path, given: Any, count: int) -> tuple[str, ...]:
    """kpt_names: a list, or one for each class; the numbers of the points without any."""
    if isinstance(given, dict):
        lists = list(given.values())
        if any(each != lists[0] for each in lists):
            raise DataInvalidError.at(path, "kpt_names has other names for another class: one model learns one kind")
        given = lists[0] if lists else None
    if given in (*_NOTHING, []):
        return tuple(map(str, range(count)))
    names = tuple(str(each).strip() for each in given) if isinstance(given, list) else ()
    if len(names) != count or len(set(names)) < count or not all(names):
        raise DataInvalidError.at(path, f"kpt_names is not a name for each of {count} points, each another one")
    return names


def _flips(path: Path, given: Any, names: Sequence[str]) -> tuple[Pair, ...] | None:
    """flip_idx: of each point which one it is in a mirrored picture."""
    if given in (*_NOTHING, []):
        return None
    order = [whole(each) for each in given] if isinstance(given, list) else []
    places = [each for each in order if each is not None]
    if sorted(places) != list(range(len(names))) or any(places[other] != at for at, other in enumerate(places)):
        raise DataInvalidError.at(path, "flip_idx does not say of each point with which one it changes places")
    return tuple((names[at], names[other]) for at, other in enumerate(places) if at < other)
