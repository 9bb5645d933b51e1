"""Data sets with annotations in the XML of Pascal VOC.

Source: Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 88 (2010), and its development kit.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.classes import in_order
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import upright_size
from trunkline.training.data.named_objects import NamedObject, with_objects
from trunkline.training.data.names import Found, Names, listed, named, say
from trunkline.training.data.pictures_beside import picture_of
from trunkline.training.data.reading import read_picture, read_start
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.texts import lines_of_text, read_text
from trunkline.training.data.voc_objects import declared_size, objects_of
from trunkline.training.data.voc_origin import by_cvat, counts_from
from trunkline.training.data.xml_text import parse

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


def read_voc(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set, or None where no folder holds VOC's XML files.

    Folders: Annotations/ with JPEGImages/ (also annotations_voc, xmls, images, …), as they are or below the splits,
    or XML files beside their pictures. The picture of a file is the one that is called as the file is, or else the
    one of its <filename>. ImageSets/Main/train.txt and so on, or imagesets/, name the pictures of a split. Classes
    are the names that occur, in order. Boxes count pixels from 1 and include both ends; with xmin = xmax or
    ymin = ymax they are taken for slips, though that would be one pixel. Where one begins at 0, or CVAT wrote them,
    they count from 0. They are taken to be of the upright picture, whose size the file declares: the check compares.
    `difficult` objects are crowds.
    Raises DataInvalidError with the file and the reason; OSError.
    """
    places = list(_places(root))
    if not places:
        return None
    lists = _lists(root, remarks)
    _compare(root, lists, places, remarks)
    found = _Reader(root, lists, remarks).read(places)
    classes = in_order(each.class_name for _, objects in found for each in objects)
    if not classes and not remarks.left_out:
        raise DataInvalidError.at(root, "no XML file has an object")
    index = {name: label for label, name in enumerate(classes)}
    samples = (with_objects(sample, objects, index) for sample, objects in found)
    ordered = sorted(samples, key=lambda sample: (*SPLITS, NONE).index(sample.split))
    return Dataset(root, "voc", classes, (), tuple(ordered), remarks=remarks)


def _places(root: Path) -> Iterator[_Place]:
    splits = {folder: split_named(folder.name) for folder in sorted(root.iterdir()) if folder.is_dir()}
    for base, split in ((root, NONE), *splits.items()):
        if split is not None:
            pictures = tuple(base / name for name in _PICTURES if (base / name).is_dir())
            for folder in (base, *(base / name for name in _ANNOTATIONS)):
                files = tuple(listed(folder, ".xml"))
                if any(map(_is_voc, files[:2])):
                    yield _Place(files, (*pictures, folder, base), split)


def _is_voc(path: Path) -> bool:
    start = read_start(path, 4096).replace(b"\0", b"")  # in UTF-16 every other byte is one
    return re.search(rb"<annotation[\s>]", start) is not None


def _lists(root: Path, remarks: Remarks) -> dict[str, _Listed]:
    """The split of each picture, by the stem of its file, and where it says so; empty where no list is there."""
    folder = next((root / name for name in _SETS if listed(root / name, ".txt")), None)
    found: dict[str, _Listed] = {}
    for path in listed(folder, ".txt") if folder else ():
        split = split_named(path.stem)
        if split is None:  # such as trainval, and aeroplane_train
            continue
        name = path.relative_to(root).as_posix()
        for number, line in enumerate(lines_of_text(read_text(path, name, remarks)), 1):
            stem = stem_listed(line)
            where = f"{name}, line {number}"
            if stem and (before := found.setdefault(stem, _Listed(split, where))).split != split:
                remarks.fault(where, f"it is in the list of {before.split} too")
    return found


def stem_listed(line: str) -> str:
    """Of the picture on a line: without what some tools write with it, which are folders, a suffix and a 1 or -1."""
    name = line.strip()
    if re.search(r"\s-?[01]$", name):
        name = name[:-2].rstrip("- \t")
    name = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in PICTURE_SUFFIXES else name


def _compare(root: Path, lists: Mapping[str, _Listed], places: Sequence[_Place], remarks: Remarks) -> None:
    """Listed pictures without an XML file, and files that are in no list, are left out."""
    files = {path.stem for place in places for path in place.files}
    for stem, given in lists.items():
        if stem not in files and not by_cvat(root):
            remarks.leave_out("picture", Kind.TEXT, given.where, "there is no XML file of this picture")
    if lists:
        for path in (path for place in places if place.split == NONE for path in place.files):
            if path.stem not in lists:
                where = path.relative_to(root).as_posix()
                remarks.leave_out("picture", Kind.UNLISTED, where, "it is in the list of no split")


class _Reader:
    """Reads the XML files of a data set."""

    def __init__(self, root: Path, lists: Mapping[str, _Listed], remarks: Remarks) -> None:
        self._root, self._lists, self._remarks, self._names = root, lists, remarks, Names(root)

    def read(self, places: Sequence[_Place]) -> list[_Found]:
        taken = [
            (path, place, split) for place in places for path in place.files for split in self._split(path, place)
        ]
        parsed = [(path, split, document, *self._picture(path, document, place))
                  for path, place, split in taken if (document := self._document(path)) is not None]  # fmt: skip
        first = counts_from(self._root, ((path, document) for path, _, document, _, _ in parsed), self._remarks)
        meant: dict[Path, list[bool]] = defaultdict(list)
        for _, _, _, picture, own in parsed:
            if picture is not None:
                meant[picture.path].append(own)
        found = (
            self._sample(path, split, document, picture, picture is None or _is_sure(own, meant[picture.path]), first)
            for path, split, document, picture, own in parsed
        )
        bare = self._bare(places, {path.stem for path, *_ in taken}) if by_cvat(self._root) else ()
        return [*(each for each in found if each is not None), *bare]

    def _bare(self, places: Sequence[_Place], known: AbstractSet[str]) -> Iterator[_Found]:
        """Pictures that are listed and have no file: nothing is in them."""
        folders = [folder for place in places for folder in place.pictures]
        for stem, given in self._lists.items():
            picture, _ = (
                picture_of(self._names, Path(f"{stem}.xml"), "", folders) if stem not in known else (None, False)
            )
            if picture is not None:
                name, read = named(picture.path, self._root, self._remarks), partial(read_picture, picture.path)
                yield Sample(name, given.split, None, (), read), []
            elif stem not in known:
                self._remarks.leave_out("picture", Kind.PICTURE_MISSING, given.where, "its picture is missing")

    def _split(self, path: Path, place: _Place) -> tuple[str, ...]:
        """() for a file that is left out."""
        if not self._lists or place.split != NONE:
            return (place.split,)
        return (self._lists[path.stem].split,) if path.stem in self._lists else ()

    def _where(self, path: Path) -> str:
        return printable(path.relative_to(self._root).as_posix())

    def _document(self, path: Path) -> ElementTree.Element | None:
        where = self._where(path)
        try:
            return parse(path, where, self._remarks)
        except DataInvalidError as error:
            self._remarks.leave_out("picture", Kind.TEXT, where, error.message)
            return None

    def _picture(self, path: Path, document: ElementTree.Element, place: _Place) -> tuple[Found | None, bool]:
        return picture_of(self._names, path, _file_name(document), place.pictures)

    def _sample(
        self, path: Path, split: str, document: ElementTree.Element, picture: Found | None, sure: bool, first: int
    ) -> _Found | None:
        where = self._where(path)
        if picture is None:
            self._remarks.leave_out("picture", Kind.PICTURE_MISSING, where, "its picture is missing")
            return None
        if not sure:
            text = "its picture is that of another file, whose name it has"
            self._remarks.leave_out("picture", Kind.PICTURE_TWICE, where, text)
            return None
        try:
            size = declared_size(document, where, self._remarks) or upright_size(picture.path)
        except DataInvalidError as error:
            self._remarks.leave_out("picture", Kind.PICTURE_BROKEN, where, error.message)
            return None
        self._say(path, document, picture, where)
        name, read = named(picture.path, self._root, self._remarks), partial(read_picture, picture.path)
        sample = Sample(name, split, None, (), read, size=size)
        return sample, list(objects_of(document, size, where, self._remarks, first))

    def _say(self, path: Path, document: ElementTree.Element, picture: Found, where: str) -> None:
        """How its picture was found, where the file says another name."""
        name = _file_name(document)
        same = name in ("", picture.path.name, picture.path.stem)
        if picture.path.stem == path.stem and not same:
            text = f"its <filename> is another one: {self._where(picture.path)} is taken, which is called as it is"
            self._remarks.read(Kind.STALE_NAME, where, text)
        elif picture.path.stem != path.stem:
            say(picture, where, self._root, self._remarks)


def _file_name(document: ElementTree.Element) -> str:
    """Without folders."""
    return (document.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]


def _is_sure(own: bool, meant: Sequence[bool]) -> bool:
    """Whether a picture is that of one file; of several, of the one that is called as it is. own: whether this is."""
    return meant.count(True) == 1 if own else len(meant) == 1
