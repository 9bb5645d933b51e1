"""Data sets with annotations in the XML of Pascal VOC.

Source: Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 88 (2010), and its development kit.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.boxes import Findings
from trunkline.training.data.classes import in_order
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import find_file, upright_size
from trunkline.training.data.folder_layout import PICTURE_SUFFIXES
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.reading import LARGEST_LIST, read_annotations, read_picture, read_start
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.voc_objects import NamedObject, declared_size, objects_of, parse

_ANNOTATIONS: Final = ("Annotations", "annotations", "annotations_voc", "xmls", "xml")
_PICTURES: Final = ("JPEGImages", "images", "Images", "PNGImages")
_SETS: Final = ("ImageSets/Main", "ImageSets", "imagesets/Main", "imagesets")

_Found = tuple[Sample, list[NamedObject]]


@dataclass(frozen=True)
class _Place:
    """XML files, folders in which their pictures may lie, and their split."""

    files: tuple[Path, ...]
    pictures: tuple[Path, ...]
    split: str


class _Listed(NamedTuple):
    """What a list of pictures says of one. where: the list and the line."""

    split: str
    where: str


def read_voc(root: Path) -> Dataset | None:
    """The data set, or None where no folder holds VOC's XML files.

    Folders: Annotations/ with JPEGImages/ (also annotations_voc, xmls, images, …), as they are or below the splits,
    or XML files beside their pictures. ImageSets/Main/train.txt and so on, or imagesets/, name the pictures of a
    split. Classes are the names that occur, in order. Boxes count pixels from 1 and include both ends; with
    xmin = xmax or ymin = ymax they are taken for slips, though that would be one pixel. They are taken to be of the
    upright picture, whose size the file declares: the check compares. `difficult` objects are crowds.
    Raises DataInvalidError with the file and the reason; OSError. Faults of single entries are in `faults`.
    """
    places = list(_places(root))
    if not places:
        return None
    findings = Findings()
    lists = _lists(root, findings)
    _compare(root, lists, places, findings)
    found = [pair for place in places for pair in _read(root, place, lists, findings)]
    classes = in_order(each.class_name for _, objects in found for each in objects)
    if not classes and not findings.faults:
        raise DataInvalidError.at(root, "no XML file has an object")
    index = {name: label for label, name in enumerate(classes)}
    samples = (_with_objects(sample, objects, index) for sample, objects in found)
    ordered = sorted(samples, key=lambda sample: (*SPLITS, NONE).index(sample.split))
    faults, remarks = tuple(findings.faults), tuple(findings.remarks)
    return Dataset(root, "voc", classes, (), tuple(ordered), faults=faults, remarks=remarks)


def _places(root: Path) -> Iterator[_Place]:
    splits = {folder: split_named(folder.name) for folder in sorted(root.iterdir()) if folder.is_dir()}
    for base, split in ((root, NONE), *splits.items()):
        if split is not None:
            pictures = tuple(base / name for name in _PICTURES if (base / name).is_dir())
            for folder in (base, *(base / name for name in _ANNOTATIONS)):
                files = tuple(sorted(folder.glob("*.xml"))) if folder.is_dir() else ()
                if any(map(_is_voc, files[:2])):
                    yield _Place(files, (*pictures, folder, base), split)


def _is_voc(path: Path) -> bool:
    return re.search(rb"<annotation[\s>]", read_start(path, 4096)) is not None


def _lists(root: Path, findings: Findings) -> dict[str, _Listed]:
    """The split of each picture, by the stem of its file, and where it says so; empty where no list is there."""
    folder = next((root / name for name in _SETS if any((root / name).glob("*.txt"))), None)
    found: dict[str, _Listed] = {}
    for path in sorted(folder.glob("*.txt")) if folder else ():
        split = split_named(path.stem)
        if split is None:  # such as trainval, and aeroplane_train
            continue
        name = path.relative_to(root).as_posix()
        text = read_annotations(path, LARGEST_LIST).decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            stem = line.split()[0] if line.strip() else ""
            where = f"{name}, line {number}"
            if stem and (before := found.setdefault(stem, _Listed(split, where))).split != split:
                findings.fault(where, f"it is in the list of {before.split} too")
    return found


def _compare(root: Path, lists: Mapping[str, _Listed], places: Sequence[_Place], findings: Findings) -> None:
    """A fault for each listed picture without an XML file; a remark on files that are in no list."""
    files = {path.stem for place in places for path in place.files}
    for stem, listed in lists.items():
        if stem not in files:
            findings.fault(listed.where, "there is no XML file of this picture")
    free = sorted(path.stem for place in places if place.split == NONE for path in place.files)
    left = [stem for stem in free if stem not in lists] if lists else []
    if left:
        findings.remark(root.name, f"{len(left)} XML files are in no list and are left out: {', '.join(left[:3])} …")


def _read(root: Path, place: _Place, lists: Mapping[str, _Listed], findings: Findings) -> Iterator[_Found]:
    for path in place.files:
        split: str | None = place.split
        if lists and split == NONE:
            split = lists[path.stem].split if path.stem in lists else None
        if split is None:
            continue
        where = path.relative_to(root).as_posix()
        try:
            document = parse(path)
            picture = _picture(root, path, document, place)
            size = declared_size(document) or upright_size(picture)
        except DataInvalidError as error:
            findings.fault(where, error.message)
            continue
        name, read = picture.relative_to(root).as_posix(), partial(read_picture, picture)
        yield Sample(name, split, None, (), read, size=size), list(objects_of(document, size, where, findings))


def _picture(root: Path, path: Path, document: ElementTree.Element, place: _Place) -> Path:
    """That of the name in the file, or else the one of the same stem: names in files are often stale."""
    name = (document.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    suffixes = [form(suffix) for suffix in sorted(PICTURE_SUFFIXES) for form in (str.lower, str.upper)]
    for candidate in filter(None, (name, *(path.stem + suffix for suffix in suffixes))):
        found = find_file(root, place.pictures, candidate)
        if found is not None and found != path:
            return found
    raise DataInvalidError("its picture is missing")


def _with_objects(sample: Sample, objects: Sequence[NamedObject], index: Mapping[str, int]) -> Sample:
    found = (ObjectTruth(index[each.class_name], each.box, None, each.crowd, each.name) for each in objects)
    return replace(sample, objects=tuple(found))
