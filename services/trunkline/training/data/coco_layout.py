"""Data sets with annotations in COCO's JSON: boxes, polygons, run lengths, crowds.

Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014, and its description of the format.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.boxes import Findings, Size
from trunkline.training.data.coco_files import CocoFile, find_coco
from trunkline.training.data.coco_objects import CocoObjects, Picture
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.files import find_file, upright_size
from trunkline.training.data.reading import read_picture, require_small

_Entry = dict[str, Any]


def read_coco(root: Path) -> Dataset | None:
    """The data set of a folder, or of one JSON file in it; None where there is none of COCO's.

    Classes are the categories of all files in the order of their ids. `file_name` is below the folder, below that of
    the file, or below a folder `images` or one of the split. Boxes are [x, y, width, height] in pixels, (0, 0) the
    outer corner of the top-left pixel, and like outlines they are taken to be of the upright picture, whose size
    `width` and `height` declare: the check compares. Pictures without annotations have no objects.
    Raises DataInvalidError with the file and the reason; OSError. Faults of single entries are in `faults`.
    """
    files = find_coco(root)
    if not files:
        return None
    root = _root(root)
    labels, classes = _categories(files)
    findings = Findings()
    samples = [sample for file in files for sample in _Reader(root, file, labels, findings).samples()]
    if not samples and not findings.faults:
        raise DataInvalidError.at(files[0].path, "the list of images is empty")
    return Dataset(
        root,
        "coco",
        classes,
        (),
        tuple(samples),
        faults=tuple(findings.faults),
        remarks=tuple(findings.remarks),
    )


def _root(root: Path) -> Path:
    if not root.is_file():
        return root
    return root.parent.parent if root.parent.name.lower() == "annotations" else root.parent


def _categories(files: Sequence[CocoFile]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Label by id, and the names of the classes."""
    names: dict[int, str] = {}
    for file in files:
        for place, category in enumerate(file.document["categories"], 1):
            number, name = _category(file.path, category, place)
            if names.setdefault(number, name) != name:
                raise DataInvalidError.at(file.path, f"category {place} of the list has another name elsewhere")
    if not names or len(set(names.values())) < len(names):
        reason = "two categories have the same name" if names else "there are no categories"
        raise DataInvalidError.at(files[0].path, reason)
    numbers = sorted(names)
    return {number: label for label, number in enumerate(numbers)}, tuple(names[number] for number in numbers)


def _category(path: Path, category: object, place: int) -> tuple[int, str]:
    if isinstance(category, dict):
        number, name = category.get("id"), category.get("name")
        if isinstance(number, int) and isinstance(name, str) and name.strip():
            return number, name.strip()
    raise DataInvalidError.at(path, f"category {place} of the list has no whole number as id, or no name")


class _Reader:
    """One file: its images with their annotations, and what is wrong with them."""

    def __init__(self, root: Path, file: CocoFile, labels: dict[int, int], findings: Findings) -> None:
        self._root, self._file, self._findings = root, file, findings
        self._name = file.path.relative_to(root).as_posix()
        self._objects = CocoObjects(root, self._name, labels, findings)
        words = {file.split, file.path.parent.name, file.path.stem.rpartition("_")[2]}  # COCO: train2017/
        inside = [folder / word for folder in (root, root / "images") for word in sorted(words) if word]
        folders = dict.fromkeys([root, file.path.parent, root / "images", *inside])
        self._folders = [folder for folder in folders if folder.is_dir()]

    def samples(self) -> Iterator[Sample]:
        pictures = self._pictures()
        groups = self._annotations(pictures)
        for number, picture in pictures.items():
            objects = self._objects.read(groups[number], picture)
            read = partial(read_picture, self._root / picture.name)
            yield Sample(picture.name, self._file.split, None, (), read, objects=objects, size=picture.size)

    def _pictures(self) -> dict[Any, Picture]:
        """By id; None for one that is in the list and cannot be used is left out."""
        found: dict[Any, Picture] = {}
        self._known: set[Any] = set()
        files: dict[str, int] = {}
        for place, entry in enumerate(self._file.document["images"], 1):
            number = entry.get("id") if isinstance(entry, dict) else None
            where = f"{self._name}: image {place} of the list"
            if not isinstance(number, int | str):
                self._findings.fault(where, "it has no id")
                continue
            if number in self._known:
                self._findings.fault(where, "two images have this id")
                continue
            self._known.add(number)
            picture = self._picture(entry, where)
            if picture is not None and files.setdefault(picture.name, place) != place:
                self._findings.fault(where, f"its file is that of image {files[picture.name]} of the list")
            elif picture is not None:
                found[number] = picture
        return found

    def _picture(self, entry: _Entry, where: str) -> Picture | None:
        name = entry.get("file_name")
        try:
            path = find_file(self._root, self._folders, name) if isinstance(name, str) else None
            if path is None:
                raise DataInvalidError("its picture is missing" if name else "there is no file_name")
            size = _declared(entry) or upright_size(path)
        except DataInvalidError as error:
            self._findings.fault(where, error.message)
            return None
        return Picture(path.relative_to(self._root).as_posix(), size, entry.get("mask_file"))

    def _annotations(self, pictures: dict[Any, Picture]) -> dict[Any, list[tuple[str, _Entry]]]:
        """Annotations with their names, by the id of the image."""
        groups: dict[Any, list[tuple[str, _Entry]]] = defaultdict(list)
        lost: dict[Any, list[str]] = defaultdict(list)
        seen: set[Any] = set()
        for place, entry in enumerate(self._file.document["annotations"], 1):
            number = entry.get("id") if isinstance(entry, dict) else None
            name = f"annotation {place} of the list"
            where = f"{self._name}: {name}"
            image = entry.get("image_id") if isinstance(entry, dict) else None
            if isinstance(number, int | str) and number in seen:
                self._findings.fault(where, "two annotations have this id")
            elif not isinstance(image, int | str) or image not in self._known:
                lost[image if isinstance(image, int | str) else None].append(name)
            elif image in pictures:
                groups[image].append((name, entry))
            seen |= {number} if isinstance(number, int | str) else set()
        for names in lost.values():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            self._findings.fault(f"{self._name}: {names[0]}{more}", "there is no image of its image_id")
        return groups


def _declared(entry: _Entry) -> Size | None:
    """(width, height); None where the entry has none. Raises DataInvalidError for what is no size."""
    width, height = entry.get("width"), entry.get("height")
    if width is None and height is None:
        return None
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise DataInvalidError("width and height are not two whole numbers above 0")
    require_small((width, height))
    return width, height
