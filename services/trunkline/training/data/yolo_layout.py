"""Data sets with annotations in YOLO's text: a file for each picture, a line for each object.

Source: the description of the formats for detection, segmentation and poses by Ultralytics; Darknet's lists.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.boxes import Size, box_around, fitted_box, outline_fault
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import upright_size
from trunkline.training.data.names import named
from trunkline.training.data.numbers import number, whole
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import Polygons
from trunkline.training.data.point_objects import with_points
from trunkline.training.data.points import Place
from trunkline.training.data.reading import LARGEST_LIST, is_file, read_annotations, read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.texts import decoded, lines_of_text
from trunkline.training.data.yolo_files import YoloFiles, find_yolo, label_files, label_of

_BOX = 4  # numbers of a box


def read_yolo(root: Path, remarks: Remarks, *, points: bool = False) -> Dataset | None:
    """The data set, or None where there is none of YOLO's.

    data.yaml with names, train, val and test; Darknet's obj.data, obj.names and train.txt; or folders images/ and
    labels/, also below or above the splits, with classes.txt. A line is `class x y width height`, the middle and the
    sides of a box, or `class x y x y x y …`, an outline; both in shares of the upright picture, from 0 to 1. Where
    data.yaml has kpt_shape, the points behind the box are left out. A picture without a text has no objects, and a
    line that is there twice is one object.
    points: read those behind the box, whose number kpt_shape says; the classes are their names (yolo_points.py).
    Raises DataInvalidError with the file and the reason; OSError.
    """
    files = find_yolo(root, remarks)
    if files is None:
        return None
    if not files.pictures and not remarks.left_out:
        raise DataInvalidError.at(files.source, "there are no pictures where it says that they are")
    if points and files.key_points is None:
        raise DataInvalidError.at(files.source, "there is no kpt_shape, which says how many points an object has")
    samples = tuple(_Reader(root, files, remarks, points=points).samples())
    known = {label_of(root, picture) for picture, _ in files.pictures}
    texts = label_files(root, (picture for picture, _ in files.pictures))
    if not texts & known and not any(sample.objects for sample in samples) and not remarks.left_out:
        remarks.fault(root.name, "no picture has a text file with objects: they belong below labels/")
    for path in sorted(texts - known):
        where = path.relative_to(root).as_posix()
        remarks.leave_out("picture", Kind.PICTURE_MISSING, where, "its picture is missing")
    dataset = Dataset(root, "yolo", files.classes, (), samples, remarks=remarks)
    if not points or files.key_points is None:
        return dataset
    return with_points(dataset, files.key_points.names, files.key_points.scheme(files.source.name, remarks))


class _Reader:
    """Reads the texts of the pictures."""

    def __init__(self, root: Path, files: YoloFiles, remarks: Remarks, *, points: bool) -> None:
        self._root, self._files, self._remarks, self._points = root, files, remarks, points

    def samples(self) -> Iterator[Sample]:
        for picture, split in self._files.pictures:
            name = named(picture, self._root, self._remarks)
            text = label_of(self._root, picture)
            try:
                size = upright_size(picture)
                objects = tuple(self._objects(text, size)) if is_file(text) else ()
            except DataInvalidError as error:
                self._remarks.leave_out("picture", Kind.PICTURE_BROKEN, name, error.message)
                continue
            yield Sample(name, split, None, (), partial(read_picture, picture), objects=objects, size=size)

    def _objects(self, path: Path, size: Size) -> Iterator[ObjectTruth]:
        """Raises DataInvalidError where the text cannot be read."""
        name, seen = path.relative_to(self._root).as_posix(), dict[str, int]()
        text = decoded(read_annotations(path, LARGEST_LIST), name, self._remarks)
        for place, line in enumerate(lines_of_text(text), 1):
            where, plain = f"{name}, line {place}", " ".join(line.split())
            if not plain:
                continue
            if seen.setdefault(plain, place) != place:
                self._remarks.read(Kind.TWICE, where, f"it is line {seen[plain]} again and is read once")
                continue
            try:
                found = self._object(plain.split(), f"line {place}", size, where)
            except DataInvalidError as error:
                self._remarks.leave_out("object", Kind.ENTRY, where, error.message)
                continue
            if found is not None:
                yield found

    def _object(self, words: Sequence[str], name: str, size: Size, where: str) -> ObjectTruth | None:
        """Raises DataInvalidError, without the name of the file, for what is no object."""
        label, values = _parse(words, len(self._files.classes))
        values, behind = self._apart(values)
        if behind and not self._points:
            text = "a box and key points, as kpt_shape says: the box is read, the points are not"
            self._remarks.read(Kind.KEY_POINTS, where, text)
        width, height = size
        if len(values) == _BOX:
            x, y, w, h = (value * scale for value, scale in zip(values, (*size, *size), strict=True))
            box = fitted_box(Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2), size, where, self._remarks)
            places = self._places(behind, size, where)
            return None if box is None else ObjectTruth(label, box, None, False, name, places)
        line = tuple(value * (height if place % 2 else width) for place, value in enumerate(values))
        fault = outline_fault([line], size)
        if fault:
            raise DataInvalidError(f"{fault}; a box has 4 numbers after its class, and points need kpt_shape")
        box = fitted_box(box_around(line), size, where, self._remarks)
        return None if box is None else ObjectTruth(label, box, Polygons(width, height, (line,)), False, name)

    def _apart(self, values: list[float]) -> tuple[list[float], list[float]]:
        """The box, or the outline, and what is behind the box."""
        if self._files.key_points is None:
            return values, []
        points, each = self._files.key_points.shape
        if len(values) not in (_BOX, _BOX + points * each):
            raise DataInvalidError(f"after its class it has {len(values)} numbers, not a box and {points} points")
        return values[:_BOX], values[_BOX:]

    def _places(self, values: list[float], size: Size, where: str) -> tuple[Place, ...] | None:
        if not self._points or self._files.key_points is None:
            return None
        return self._files.key_points.places(values, size, where, self._remarks)


def _parse(words: Sequence[str], classes: int) -> tuple[int, list[float]]:
    """Label and numbers of a line. Raises DataInvalidError without the name of the file."""
    found = [number(word) for word in words]
    values = [value for value in found if value is not None]
    if len(values) < len(found):
        raise DataInvalidError("it has a word that is not a number")
    label = whole(values[0])
    if label is None or not 0 <= label < classes:
        raise DataInvalidError(f"its class is not one of 0 to {classes - 1}")
    return label, values[1:]
