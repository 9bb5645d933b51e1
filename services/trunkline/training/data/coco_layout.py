"""Data sets with annotations in COCO's JSON: boxes, polygons, run lengths, crowds.

Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014, and its description of the format.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.training.data.boxes import Size
from trunkline.training.data.coco_categories import Id, read_categories
from trunkline.training.data.coco_files import OBJECTS, POINTS, CocoFile, find_coco
from trunkline.training.data.coco_objects import CocoObjects, Picture
from trunkline.training.data.coco_points import CocoPoints, read_scheme
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import upright_size
from trunkline.training.data.names import Found, Names, is_hidden, listed, named, say
from trunkline.training.data.numbers import id_of, whole
from trunkline.training.data.point_objects import with_points
from trunkline.training.data.reading import read_picture, require_small
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import split_named

_Entry = dict[str, Any]


def read_coco(root: Path, remarks: Remarks, *, points: bool = False) -> Dataset | None:
    """The data set of a folder, or of one JSON file in it; None where there is none of COCO's.

    Classes are the categories of all files in the order of their ids. `file_name` is below the folder, below that of
    the file, or below a folder `images` or one of the split. Boxes are [x, y, width, height] in pixels, (0, 0) the
    outer corner of the top-left pixel, and like outlines they are taken to be of the upright picture, whose size
    `width` and `height` declare: the check compares. Pictures without annotations have no objects.
    points: read `keypoints` instead, whose names the categories say (coco_points.py); the classes are those names.
    Raises DataInvalidError with the file and the reason; OSError.
    """
    files = find_coco(root, remarks, POINTS if points else OBJECTS)
    if not files:
        return None
    root = _root(root)
    labels, classes = read_categories(files, remarks)
    named_points = read_scheme(files, labels, remarks) if points else None
    names = Names(root)
    readers = [_Reader(root, file, labels, names, remarks, named_points) for file in files]
    samples = [sample for reader in readers for sample in reader.samples()]
    if not samples and not remarks.left_out and not remarks.faults:
        raise DataInvalidError.at(files[0].path, "the list of images is empty")
    dataset = Dataset(root, "coco", classes, (), tuple(samples), remarks=remarks)
    return dataset if named_points is None else with_points(dataset, named_points.names, named_points.scheme)


def _root(root: Path) -> Path:
    if not root.is_file():
        return root
    return root.parent.parent if root.parent.name.lower() == "annotations" else root.parent


class _Reader:
    """One file: its images with their annotations, and what is wrong with them."""

    def __init__(
        self,
        root: Path,
        file: CocoFile,
        labels: dict[Id, int],
        names: Names,
        remarks: Remarks,
        points: CocoPoints | None,
    ) -> None:
        self._root, self._file, self._names, self._remarks = root, file, names, remarks
        self._name = file.path.relative_to(root).as_posix()
        self._objects = CocoObjects(root, self._name, labels, names, remarks, points)
        words = {file.split, file.path.parent.name, file.path.stem.rpartition("_")[2]}  # COCO: train2017/
        inside = [folder / word for folder in (root, root / "images") for word in sorted(words) if word]
        beside = [base / name for base in (root, file.path.parent) for name in ("images", "data")]  # FiftyOne: data/
        folders = dict.fromkeys([root, file.path.parent, *beside, *inside, *_only_one(root, file)])
        self._folders = [folder for folder in folders if folder.is_dir()]

    def samples(self) -> Iterator[Sample]:
        pictures = self._pictures()
        groups = self._annotations(pictures)
        for number, picture in pictures.items():
            objects = self._objects.read(groups[number], picture)
            path = self._root / picture.name
            name, read = named(path, self._root, self._remarks), partial(read_picture, path)
            yield Sample(name, self._file.split, None, (), read, objects=objects, size=picture.size)

    def _pictures(self) -> dict[Id, Picture]:
        """By id, but for those that are left out."""
        entries = self._entries()
        found = {number: self._find(entry) for number, (entry, _) in entries.items()}
        meant: dict[Path, list[str]] = defaultdict(list)  # images that name a file as it is called
        odd: Counter[Path] = Counter()
        for number, file in found.items():
            if file is not None and not file.read_as:
                meant[file.path].append(entries[number][1])
            elif file is not None:
                odd[file.path] += 1
        pictures = {}
        for number, (entry, where) in entries.items():
            file = found[number]
            if file is not None and not self._is_sure(where, file, meant[file.path], odd[file.path]):
                continue
            picture = self._picture(entry, file, where)
            if picture is not None:
                pictures[number] = picture
        return pictures

    def _entries(self) -> dict[Id, tuple[_Entry, str]]:
        """Images by id, and what to call them."""
        found: dict[Id, tuple[_Entry, str]] = {}
        for place, entry in enumerate(self._file.document["images"], 1):
            where = f"{self._name}: image {place} of the list"
            given = entry.get("id") if isinstance(entry, dict) else None
            number = id_of(given)
            if number is None:
                self._remarks.leave_out("picture", Kind.ENTRY, where, "it has no id")
                continue
            if number != given or isinstance(given, float):
                self._remarks.read(Kind.ID, where, "its id is read as the whole number that it means")
            if number not in found:
                found[number] = entry, where
            elif found[number][0] == entry:
                self._remarks.read(Kind.TWICE, where, "it is in the list before, just the same, and is read once")
            else:
                self._remarks.fault(where, "two images have this id")
        return found

    def _find(self, entry: _Entry) -> Found | None:
        name = entry.get("file_name")
        return self._names.find(name, self._folders) if isinstance(name, str) else None

    def _is_sure(self, where: str, file: Found, meant: list[str], odd: int) -> bool:
        """Whether a file is that of this image. Two that name it as it is called are a fault.

        meant: images that name it so. odd: how many others may mean it.
        """
        if not file.read_as:
            if where != meant[0]:
                self._remarks.fault(where, f"its file is that of {meant[0].rpartition(': ')[2]}")
            return True
        if meant or odd > 1:
            text = "its picture is missing, and the one with the end of its name may be that of another image"
            self._remarks.leave_out("picture", Kind.PICTURE_TWICE, where, text)
            return False
        return True

    def _picture(self, entry: _Entry, file: Found | None, where: str) -> Picture | None:
        if file is None:
            text = "its picture is missing" if entry.get("file_name") else "there is no file_name"
            self._remarks.leave_out("picture", Kind.PICTURE_MISSING, where, text)
            return None
        try:
            size = self._declared(entry, where) or upright_size(file.path)
        except DataInvalidError as error:
            self._remarks.leave_out("picture", Kind.PICTURE_BROKEN, where, error.message)
            return None
        say(file, where, self._root, self._remarks)
        return Picture(file.path.relative_to(self._root).as_posix(), size, entry.get("mask_file"))

    def _annotations(self, pictures: dict[Id, Picture]) -> dict[Id, list[tuple[str, _Entry]]]:
        """Annotations with their names, by the id of the image."""
        groups: dict[Id, list[tuple[str, _Entry]]] = defaultdict(list)
        known = {id_of(entry.get("id")) for entry in self._file.document["images"] if isinstance(entry, dict)}
        seen: dict[Id, _Entry] = {}
        for place, entry in enumerate(self._file.document["annotations"], 1):
            name = f"annotation {place} of the list"
            where = f"{self._name}: {name}"
            if not isinstance(entry, dict):
                self._remarks.leave_out("object", Kind.ENTRY, where, "it is no annotation")
                continue
            number, image = id_of(entry.get("id")), id_of(entry.get("image_id"))
            if number is not None and seen.setdefault(number, entry) is not entry:
                if seen[number] == entry:
                    self._remarks.read(Kind.TWICE, where, "it is in the list before, just the same, and is read once")
                else:
                    self._remarks.fault(where, "two annotations have this id")
            elif image is None or image not in known:
                self._remarks.leave_out("object", Kind.ENTRY, where, "there is no image of its image_id")
            elif image in pictures:
                if image != entry["image_id"] or isinstance(entry["image_id"], float):
                    self._remarks.read(Kind.ID, where, "its image_id is read as the whole number that it means")
                groups[image].append((name, entry))
        return groups

    def _declared(self, entry: _Entry, where: str) -> Size | None:
        """(width, height); None where that of the picture counts. Raises DataInvalidError for far too many pixels."""
        given = entry.get("width"), entry.get("height")
        width, height = map(whole, given)
        if width is not None and height is not None and min(width, height) > 0:
            require_small((width, height))
            if not all(isinstance(side, int) for side in given):
                self._remarks.read(Kind.NUMBER, where, "its width and height are read as whole numbers")
            return width, height
        if given != (None, None):
            text = "its width and height are not two whole numbers above 0: the size of the picture is taken"
            self._remarks.read(Kind.SIZE, where, text)
        return None


def _only_one(root: Path, file: CocoFile) -> list[Path]:
    """The folder with pictures where there is one alone, whatever it is called, as SAHI makes it."""
    inside = {each for base in (root, file.path.parent) for each in base.iterdir()}
    folders = [each for each in sorted(inside) if each.is_dir() and not is_hidden(each)]
    found = [folder for folder in folders if listed(folder, *PICTURE_SUFFIXES)]
    return found if len(found) == 1 and split_named(found[0].name) in (None, file.split) else []
