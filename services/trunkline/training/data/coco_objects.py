"""One annotation of COCO as an object: class, box, outline, crowd."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.core.text import printable
from trunkline.training.data.boxes import Size, box_around, fitted_box, outline_fault
from trunkline.training.data.coco_points import CocoPoints
from trunkline.training.data.names import Names
from trunkline.training.data.numbers import has_text, id_of, numbers, truth, whole
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import InstanceMask, Outline, Polygons, RunLengths
from trunkline.training.data.reading import read_picture
from trunkline.training.data.remarks import Kind, Remarks

_Entry = dict[str, Any]
_FEWEST_NUMBERS = 6  # of a polygon


@dataclass(frozen=True)
class Picture:
    """name: path below the root. mask_file: of the values that annotations call `mask_value`, where there is one."""

    name: str
    size: Size
    mask_file: Any = None


class CocoObjects:
    """Reads the annotations of a file, `source`. labels: by id of the category."""

    def __init__(
        self,
        root: Path,
        source: str,
        labels: dict[int | str, int],
        names: Names,
        remarks: Remarks,
        points: CocoPoints | None = None,
    ) -> None:
        """points: of objects that are read for their points; then those without any are none."""
        self._root, self._source, self._labels = root, source, labels
        self._names, self._remarks, self._points = names, remarks, points

    def read(self, entries: Iterable[tuple[str, _Entry]], picture: Picture) -> tuple[ObjectTruth, ...]:
        """entries: annotations with their names, all of this picture."""
        found = (self._object(name, entry, picture) for name, entry in entries)
        return tuple(each for each in found if each is not None)

    def _object(self, name: str, entry: _Entry, picture: Picture) -> ObjectTruth | None:
        where = f"{self._source}: {name}, of {printable(picture.name)}"
        label = self._label(entry.get("category_id"), where)
        if label is None:
            return None
        crowd = self._crowd(entry.get("iscrowd"), where)
        if crowd is None:
            return None
        places = None
        if self._points is not None:
            places = None if crowd else self._points.places(entry, label, picture.size, where, self._remarks)
            if not places:
                return None
        try:
            mask = self._outline(entry, picture, where)
        except DataInvalidError as error:
            self._remarks.leave_out("object", Kind.OUTLINE, where, error.message)
            return None
        box = self._box(entry, mask, where)
        fitted = None if box is None else fitted_box(box, picture.size, where, self._remarks)
        return None if fitted is None else ObjectTruth(label, fitted, mask, crowd, name, places)

    def _label(self, given: object, where: str) -> int | None:
        category = id_of(given)
        label = None if category is None else self._labels.get(category)
        if label is None:
            self._remarks.leave_out("object", Kind.CLASS, where, "its category_id is that of no category")
        elif not isinstance(given, int):
            self._remarks.read(Kind.ID, where, "its category_id is read as the whole number that it means")
        return label

    def _crowd(self, given: object, where: str) -> bool | None:
        crowd = False if given is None or given == "" else truth(given)
        if crowd is None:
            self._remarks.leave_out("object", Kind.CROWD, where, "iscrowd is neither 0 nor 1")
        elif isinstance(given, str | float):
            self._remarks.read(Kind.CROWD, where, f"iscrowd is no whole number and is read as {int(crowd)}")
        return crowd

    def _box(self, entry: _Entry, mask: Outline | None, where: str) -> Box | None:
        given = entry.get("bbox")
        if given in (None, []) and isinstance(mask, Polygons):
            self._remarks.read(Kind.BOX_MADE, where, "there is no bbox: the box around its outline is taken")
            return box_around([value for line in mask.lines for value in line])
        sides = numbers(given)
        if sides is None or len(sides) != 4:
            self._remarks.leave_out("object", Kind.BOX, where, "bbox is not [x, y, width, height], four numbers")
            return None
        if has_text(given):
            self._remarks.read(Kind.NUMBER, where, "the texts in bbox are read as numbers")
        x, y, width, height = sides
        return Box(x, y, x + width, y + height)

    def _outline(self, entry: _Entry, picture: Picture, where: str) -> Outline | None:
        segmentation, value = entry.get("segmentation"), entry.get("mask_value")
        if isinstance(segmentation, dict):
            return _run_lengths(segmentation, picture.size)
        if segmentation:
            return self._polygons(segmentation, picture.size, where)
        if isinstance(value, int) and isinstance(picture.mask_file, str):
            found = self._names.find(picture.mask_file)
            if found is None:
                raise DataInvalidError("its mask is missing")
            name = printable(found.path.relative_to(self._root).as_posix())
            return InstanceMask(name, *picture.size, value, partial(read_picture, found.path))
        return None

    def _polygons(self, given: Any, size: Size, where: str) -> Polygons | None:
        """None where none has a point. What is no polygon beside others that are, is left out of the outline."""
        given = _as_points(given)
        if isinstance(given, list) and not any(isinstance(each, list) for each in given):
            if len(given) < _FEWEST_NUMBERS or len(given) % 2 or numbers(given) is None:
                raise DataInvalidError("segmentation is neither a list of polygons [x, y, x, y, …] nor run lengths")
            self._remarks.read(
                Kind.FLAT_OUTLINE, where, "segmentation is one list of numbers: it is read as a polygon"
            )
            given = [given]
        if not isinstance(given, list) or not all(isinstance(line, list) for line in given):
            raise DataInvalidError("segmentation is neither a list of polygons [x, y, x, y, …] nor run lengths")
        if not any(given):
            self._remarks.read(Kind.EMPTY_OUTLINE, where, "its polygons have no points: it is read as a box alone")
            return None
        sound, fault = [], ""
        for line in given:
            values = numbers(line)
            reason = (
                "a polygon has a coordinate that is not a number" if values is None else outline_fault([values], size)
            )
            fault = fault or reason
            if values is not None and not reason:
                sound.append(tuple(values))
        if not sound:
            raise DataInvalidError(fault)
        if len(sound) < len(given):
            self._remarks.read(Kind.OUTLINE_PART, where, f"{fault}: it is read without that polygon")
        if any(has_text(line) for line in given):
            self._remarks.read(Kind.NUMBER, where, "the texts in segmentation are read as numbers")
        whole_fault = outline_fault(sound, size)
        if whole_fault:
            raise DataInvalidError(whole_fault)
        return Polygons(*size, tuple(sound))


def _as_points(given: Any) -> Any:
    """[[x, y], [x, y], …] as [x, y, x, y, …], as no polygon has one point; anything else as it is."""
    pairs = isinstance(given, list) and len(given) > 2 and all(isinstance(each, list) for each in given)
    if pairs and all(len(each) == 2 for each in given):
        return [value for point in given for value in point]
    return given


def _run_lengths(segmentation: _Entry, size: Size) -> RunLengths:
    have, counts = segmentation.get("size"), segmentation.get("counts")
    sides = [whole(side) for side in have] if isinstance(have, list) else have
    if sides != [size[1], size[0]]:
        raise DataInvalidError("the run lengths are of another size than the picture")
    if isinstance(counts, str):
        return RunLengths(*size, counts)
    runs = [whole(count) for count in counts] if isinstance(counts, list) else [None]
    if all(isinstance(run, int) for run in runs):
        return RunLengths(*size, tuple(run for run in runs if run is not None))
    raise DataInvalidError("the run lengths have neither a text nor a list of whole numbers as counts")
