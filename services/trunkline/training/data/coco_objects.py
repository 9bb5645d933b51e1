"""One annotation of COCO as an object: class, box, outline, crowd."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.boxes import Findings, Size, fitted_box, outline_fault
from trunkline.training.data.files import find_file
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import InstanceMask, Outline, Polygons, RunLengths
from trunkline.training.data.reading import read_picture

_Entry = dict[str, Any]
_LARGEST: Final = 2**53


@dataclass(frozen=True)
class Picture:
    """name: path below the root. mask_file: of the values that annotations call `mask_value`, where there is one."""

    name: str
    size: Size
    mask_file: Any = None


class CocoObjects:
    """Reads the annotations of a file, `source`; faults go into the findings. labels: by id of the category."""

    def __init__(self, root: Path, source: str, labels: dict[int, int], findings: Findings) -> None:
        self._root, self._source, self._labels, self._findings = root, source, labels, findings

    def read(self, entries: Iterable[tuple[str, _Entry]], picture: Picture) -> tuple[ObjectTruth, ...]:
        """entries: annotations with their names, all of this picture."""
        found = (self._object(name, entry, picture) for name, entry in entries)
        return tuple(each for each in found if each is not None)

    def _object(self, name: str, entry: _Entry, picture: Picture) -> ObjectTruth | None:
        where = f"{self._source}: {name}, of {picture.name}"
        category = entry.get("category_id")
        sides: Any = entry.get("bbox")
        label = self._labels.get(category) if isinstance(category, int) else None
        if label is None:
            self._findings.fault(where, "its category_id is that of no category")
            return None
        if not _are_numbers(sides) or len(sides) != 4:
            self._findings.fault(where, "bbox is not [x, y, width, height]")
            return None
        x, y, width, height = map(float, sides)
        box = fitted_box(Box(x, y, x + width, y + height), picture.size, where, self._findings)
        try:
            mask = self._outline(entry, picture)
        except DataInvalidError as error:
            self._findings.fault(where, error.message)
            return None
        return None if box is None else ObjectTruth(label, box, mask, bool(entry.get("iscrowd")), name)

    def _outline(self, entry: _Entry, picture: Picture) -> Outline | None:
        segmentation, value = entry.get("segmentation"), entry.get("mask_value")
        if isinstance(segmentation, dict):
            return _run_lengths(segmentation, picture.size)
        if segmentation:
            return _polygons(segmentation, picture.size)
        if isinstance(value, int) and isinstance(picture.mask_file, str):
            path = find_file(self._root, [self._root], picture.mask_file)
            if path is None:
                raise DataInvalidError("its mask is missing")
            name = path.relative_to(self._root).as_posix()
            return InstanceMask(name, *picture.size, value, partial(read_picture, path))
        return None


def _polygons(segmentation: Any, size: Size) -> Polygons:
    if not isinstance(segmentation, list) or not all(map(_are_numbers, segmentation)):
        raise DataInvalidError("segmentation is neither a list of polygons [x, y, x, y, …] nor run lengths")
    fault = outline_fault(segmentation, size)
    if fault:
        raise DataInvalidError(fault)
    return Polygons(*size, tuple(tuple(map(float, line)) for line in segmentation))


def _run_lengths(segmentation: _Entry, size: Size) -> RunLengths:
    have, counts = segmentation.get("size"), segmentation.get("counts")
    if have != [size[1], size[0]]:
        raise DataInvalidError("the run lengths are of another size than the picture")
    if isinstance(counts, str):
        return RunLengths(*size, counts)
    if isinstance(counts, list) and all(isinstance(count, int) for count in counts):
        return RunLengths(*size, tuple(counts))
    raise DataInvalidError("the run lengths have neither a text nor a list of whole numbers as counts")


def _are_numbers(values: Any) -> bool:
    """Whole ones that a float holds."""
    return isinstance(values, list) and all(
        isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST) for value in values
    )
