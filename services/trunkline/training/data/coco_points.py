"""The points of objects in COCO's files: `keypoints` of annotations, with the names that their category says.

Source: the description of the format by COCO: x, y and v of each point, v 0 where it is not labelled, 1 where it is
hidden, 2 where it is seen; the skeleton counts points from 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.boxes import Size
from trunkline.training.data.coco_files import CocoFile
from trunkline.training.data.numbers import id_of, numbers, whole
from trunkline.training.data.point_values import place_of
from trunkline.training.data.points import Pair, Place, PointScheme, flips_by_name
from trunkline.training.data.remarks import Kind, Remarks

_VALUES = 3  # of a point
_ENDS = 2  # of a line


@dataclass(frozen=True)
class CocoPoints:
    """names: of the points. labels: of the categories that have them."""

    names: tuple[str, ...]
    scheme: PointScheme
    labels: frozenset[int]

    def places(
        self, entry: Mapping[str, Any], label: int, size: Size, where: str, remarks: Remarks
    ) -> tuple[Place, ...] | None:
        """Those that are labelled; None for an object of another category, or that is left out with a remark."""
        if label not in self.labels:
            return None
        values = numbers(entry.get("keypoints"))
        if values is None or len(values) != _VALUES * len(self.names):
            text = f"keypoints is not a list of x, y and v for each of {len(self.names)} points"
            remarks.leave_out("object", Kind.ENTRY, where, text)
            return None
        triples = (values[at : at + _VALUES] for at in range(0, len(values), _VALUES))
        found = [place_of(index, triple, size, where, remarks) for index, triple in enumerate(triples)]
        return tuple(each for each in found if each is not None)


def read_scheme(files: Sequence[CocoFile], labels: Mapping[Any, int], remarks: Remarks) -> CocoPoints:
    """Raises DataInvalidError where no category has points, or two have others."""
    found: dict[int, tuple[tuple[str, ...], Path, Any]] = {}
    for file in files:
        for place, category in enumerate(file.document["categories"], 1):
            label = labels.get(id_of(category.get("id")))
            if label is not None and category.get("keypoints"):
                names = _names(category["keypoints"], file.path, place)
                found.setdefault(label, (names, file.path, category.get("skeleton")))
    if not found:
        raise DataInvalidError.at(files[0].path, "no category has keypoints, the names of its points")
    first, path, skeleton = next(iter(found.values()))
    if any(names != first for names, _, _ in found.values()):
        raise DataInvalidError.at(path, "two categories have other points: one model learns the points of one kind")
    lines = skeleton_of(skeleton, first, path.name, remarks, counted_from=1)
    return CocoPoints(first, PointScheme(flips_by_name(first), lines), frozenset(found))


def skeleton_of(
    given: Any, names: Sequence[str], where: str, remarks: Remarks, *, counted_from: int
) -> tuple[Pair, ...]:
    """Lines between points, by name; what is no line of them is left out with a remark."""
    if given in (None, [], ""):
        return ()
    found = []
    for line in given if isinstance(given, list) else [None]:
        ends = [whole(end) for end in line] if isinstance(line, list) and len(line) == _ENDS else []
        places = [end - counted_from for end in ends if end is not None]
        if len(places) == _ENDS and all(0 <= place < len(names) for place in places):
            found.append((names[places[0]], names[places[1]]))
        else:
            remarks.read(Kind.SKELETON, where, "a line of the skeleton is not two of its points: read without it")
    return tuple(found)


def _names(given: Any, path: Path, place: int) -> tuple[str, ...]:
    names = tuple(each.strip() for each in given if isinstance(each, str)) if isinstance(given, list) else ()
    if not names or len(names) != len(given) or not all(names) or len(set(names)) != len(names):
        reason = f"keypoints of category {place} of the list are not texts, each another one"
        raise DataInvalidError.at(path, reason)
    return names
