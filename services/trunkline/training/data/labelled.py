"""Pictures as tools that label describe them: one entry each, with shapes, classes of the whole, or both."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.boxes import Size
from trunkline.training.data.classes import in_order, require_two
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.embedded import Embedded
from trunkline.training.data.files import upright_size
from trunkline.training.data.named_objects import NamedObject, with_objects
from trunkline.training.data.names import Found, listed, named, say
from trunkline.training.data.numbers import number
from trunkline.training.data.reading import is_file, read_picture, require_small
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.shapes import Shapes
from trunkline.training.data.splits import NONE, SPLITS, split_named

_MOST_FILES: Final = 16  # of a folder; a data set has one for each split


@dataclass(frozen=True)
class Entry:
    """What a tool's file says of one picture. where: the file, and the place in it.

    picture: None where it is missing. sure: whether the picture is surely this entry's, where others name it too.
    size: width and height as the file gives them. read: adds the shapes, and returns the classes of the whole.
    embedded: the picture in the file itself, for where there is no other.
    """

    where: str
    picture: Found | None
    sure: bool
    split: str
    size: tuple[object, object]
    read: Callable[[Shapes], Sequence[str]]
    embedded: Embedded | None = None


@dataclass(frozen=True)
class Labelled:
    """A picture with its objects, and the classes of the whole."""

    where: str
    sample: Sample
    objects: tuple[NamedObject, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class ToolData:
    """The pictures of a data set that a tool has written. root: the folder that their names are below."""

    root: Path
    layout: str
    pictures: tuple[Labelled, ...]
    remarks: Remarks

    def objects(self) -> Dataset | None:
        """For detection and segmentation; None where there are classes of whole pictures and no object."""
        classes = in_order(each.class_name for picture in self.pictures for each in picture.objects)
        left_out = self.remarks.left_out
        if not classes and (any(picture.tags for picture in self.pictures) or not left_out):
            return None
        index = {name: label for label, name in enumerate(classes)}
        samples = [with_objects(picture.sample, picture.objects, index) for picture in self.pictures]
        return Dataset(self.root, self.layout, classes, (), _by_split(samples), remarks=self.remarks)

    def tagged(self) -> Dataset | None:
        """For classification; None where no picture has a class. One without a class, or of several, is left out."""
        if not any(picture.tags for picture in self.pictures):
            return None
        sure = [picture for picture in self.pictures if self._has_one(picture)]
        classes = in_order(picture.tags[0] for picture in sure)
        require_two(classes, self.root)
        index = {name: label for label, name in enumerate(classes)}
        samples = [replace(each.sample, label=index[each.tags[0]], size=None) for each in sure]
        return Dataset(self.root, self.layout, classes, (), _by_split(samples), remarks=self.remarks)

    def _has_one(self, picture: Labelled) -> bool:
        count = len(set(picture.tags))
        if count != 1:
            text = f"it has {count} classes" if count else "it has no class"
            self.remarks.leave_out("picture", Kind.CLASS, picture.where, text)
        return count == 1


def tool_data(root: Path, layout: str, entries: Sequence[Entry], remarks: Remarks) -> ToolData:
    """The pictures that are there. Of one that several entries name, that of the one that is sure of it; of two that
    are sure, or none, all are left out."""
    meant: dict[Path, list[bool]] = defaultdict(list)
    for entry in entries:
        if entry.picture is not None:
            meant[entry.picture.path].append(entry.sure)
    found = []
    for entry in entries:
        others = meant[entry.picture.path] if entry.picture is not None else []
        if len(others) > 1 and not (entry.sure and others.count(True) == 1):
            text = "its picture is that of another entry too"
            remarks.leave_out("picture", Kind.PICTURE_TWICE, entry.where, text)
        elif (picture := _labelled(root, entry, remarks)) is not None:
            found.append(picture)
    return ToolData(root, layout, tuple(found), remarks)


def _labelled(root: Path, entry: Entry, remarks: Remarks) -> Labelled | None:
    if entry.picture is None and entry.embedded is None:
        remarks.leave_out("picture", Kind.PICTURE_MISSING, entry.where, "its picture is missing")
        return None
    try:
        if entry.picture is not None:
            name = named(entry.picture.path, root, remarks)
            read: Callable[[], bytes] = partial(read_picture, entry.picture.path)
            size = _declared(entry, remarks) or upright_size(entry.picture.path)
            say(entry.picture, entry.where, root, remarks)
        else:
            assert entry.embedded is not None
            name, read = entry.embedded.name, entry.embedded.read
            size = _declared(entry, remarks) or entry.embedded.size()
            remarks.read(Kind.EMBEDDED, entry.where, "its picture is missing: the one in the file itself is read")
    except DataInvalidError as error:
        remarks.leave_out("picture", Kind.PICTURE_BROKEN, entry.where, error.message)
        return None
    shapes = Shapes(size, entry.where, remarks)
    tags = tuple(tag.strip() for tag in entry.read(shapes) if tag.strip())
    sample = Sample(name, entry.split, None, (), read, size=size)
    return Labelled(entry.where, sample, tuple(shapes.objects), tags)


def _declared(entry: Entry, remarks: Remarks) -> Size | None:
    """(width, height); None where that of the picture counts. Raises DataInvalidError for far too many pixels."""
    width, height = map(number, entry.size)
    if width and height and width.is_integer() and height.is_integer() and min(width, height) > 0:
        require_small((int(width), int(height)))
        return int(width), int(height)
    if any(side not in (None, "") for side in entry.size):
        text = "its width and height are not two whole numbers above 0: the size of the picture is taken"
        remarks.read(Kind.SIZE, entry.where, text)
    return None


def _by_split(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: (*SPLITS, NONE).index(sample.split)))


def files_of(folder: Path, suffix: str) -> list[Path]:
    """The first files of a folder that may be a tool's."""
    return [path for path in listed(folder, suffix) if is_file(path)][:_MOST_FILES]


def places_of(root: Path) -> Iterator[tuple[Path, str]]:
    """The folder itself and those of its splits, with the split of each."""
    yield root, NONE
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and (split := split_named(folder.name)):
            yield folder, split
