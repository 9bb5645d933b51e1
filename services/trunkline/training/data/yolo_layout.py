"""Data sets with annotations in YOLO's text: a file for each picture, a line for each object.

Source: the description of the formats for detection and segmentation by Ultralytics.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.boxes import Findings, Size, box_around, fitted_box, outline_fault
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import upright_size
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import Polygons
from trunkline.training.data.reading import LARGEST_LIST, is_file, read_annotations, read_picture
from trunkline.training.data.yolo_files import YoloFiles, find_yolo, label_files, label_of


def read_yolo(root: Path) -> Dataset | None:
    """The data set, or None where there is none of YOLO's.

    data.yaml with names, train, val and test, or folders images/ and labels/, also below or above the splits, with
    classes.txt. A line is `class x y width height`, the middle and the sides of a box, or `class x y x y x y …`, an
    outline; both in shares of the upright picture, from 0 to 1. A picture without a text has no objects, and a line
    that is there twice is one object.
    Raises DataInvalidError with the file and the reason; OSError. Faults of single lines are in `faults`.
    """
    files = find_yolo(root)
    if files is None:
        return None
    if not files.pictures:
        raise DataInvalidError.at(files.source, "there are no pictures where it says that they are")
    findings = Findings()
    samples = tuple(_samples(root, files, findings))
    known = {label_of(root, picture) for picture, _ in files.pictures}
    texts = label_files(root, (picture for picture, _ in files.pictures))
    if not texts & known and not any(sample.objects for sample in samples):
        findings.fault(root.name, "no picture has a text file with objects: they belong below labels/")
    for path in sorted(texts - known):
        findings.fault(path.relative_to(root).as_posix(), "its picture is missing")
    faults, remarks = tuple(findings.faults), tuple(findings.remarks)
    return Dataset(root, "yolo", files.classes, (), samples, faults=faults, remarks=remarks)


def _samples(root: Path, files: YoloFiles, findings: Findings) -> Iterator[Sample]:
    for picture, split in files.pictures:
        name = picture.relative_to(root).as_posix()
        try:
            size = upright_size(picture)
        except DataInvalidError as error:
            findings.fault(name, error.message)
            continue
        objects = tuple(_objects(root, label_of(root, picture), size, len(files.classes), findings))
        yield Sample(name, split, None, (), partial(read_picture, picture), objects=objects, size=size)


def _objects(root: Path, path: Path, size: Size, classes: int, findings: Findings) -> Iterator[ObjectTruth]:
    if not is_file(path):
        return
    name, seen = path.relative_to(root).as_posix(), dict[str, int]()
    try:
        lines = read_annotations(path, LARGEST_LIST).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        findings.fault(name, "the text is not UTF-8")
        return
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        if seen.setdefault(" ".join(line.split()), number) != number:
            findings.remark(where, f"it is line {seen[' '.join(line.split())]} again and is left out")
            continue
        try:
            label, numbers = _parse(line, classes)
        except DataInvalidError as error:
            findings.fault(where, error.message)
            continue
        found = _object(label, numbers, size, where, findings)
        if found is not None:
            yield found


def _parse(line: str, classes: int) -> tuple[int, list[float]]:
    """Label and numbers of a line. Raises DataInvalidError without the name of the file."""
    words = line.split()
    try:
        label, numbers = float(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
        raise DataInvalidError("there is a word that is no number") from error
    if label not in range(classes):
        raise DataInvalidError(f"its class is none of 0 to {classes - 1}")
    return int(label), numbers


def _object(label: int, numbers: Sequence[float], size: Size, where: str, findings: Findings) -> ObjectTruth | None:
    width, height = size
    name = where.rpartition(", ")[2]
    if len(numbers) == 4:
        x, y, w, h = (value * scale for value, scale in zip(numbers, (width, height, width, height), strict=True))
        box = fitted_box(Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2), size, where, findings)
        return None if box is None else ObjectTruth(label, box, None, False, name)
    line = tuple(value * (height if place % 2 else width) for place, value in enumerate(numbers))
    fault = outline_fault([line], size)
    if fault:
        findings.fault(where, f"{fault}; a box has 4 numbers behind its class")
        return None
    box = fitted_box(box_around(line), size, where, findings)
    return None if box is None else ObjectTruth(label, box, Polygons(width, height, (line,)), False, name)
