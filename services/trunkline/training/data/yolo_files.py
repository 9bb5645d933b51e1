"""Where the pictures of a data set in YOLO's layout lie, and what its classes are called."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.files import below
from trunkline.training.data.folder_layout import PICTURE_SUFFIXES
from trunkline.training.data.reading import is_file, is_there, read_lines
from trunkline.training.data.splits import NONE, SPLITS, split_named

_PICTURES, _LABELS = "images", "labels"
_NAMES: Final = "classes.txt"
_NOTHING: Final = (None, "", "null", "Null", "NULL", "~")
_CLASSES: Final = (_NAMES, f"labels/{_NAMES}", "obj.names")


@dataclass(frozen=True)
class YoloFiles:
    """classes: names in the order of their numbers. pictures: with the split of each. source: of the names."""

    classes: tuple[str, ...]
    pictures: tuple[tuple[Path, str], ...]
    source: Path


def find_yolo(root: Path) -> YoloFiles | None:
    """What data.yaml says (names, train, val, test), or what folders images/ and labels/ show; None without either.

    Raises DataInvalidError with the file and the reason; OSError.
    """
    described = _described(root)
    if described is not None:
        path, fields = described
        pictures = [pair for split in SPLITS for pair in _of_split(root, path, fields, split)]
        return YoloFiles(_names(path, fields.get("names")), tuple(dict.fromkeys(pictures)), path)
    pictures = list(_in_folders(root))
    if not any(label_of(root, picture).is_file() for picture, _ in pictures):
        return None
    named = next((root / name for name in _CLASSES if (root / name).is_file()), None)
    if named is None:
        raise DataInvalidError.at(root, "the names of the classes are missing: data.yaml with names, or classes.txt")
    return YoloFiles(_names(named, read_lines(named)), tuple(pictures), named)


def label_of(root: Path, picture: Path) -> Path:
    """The text file of a picture: below `labels` where the picture lies below `images`, or else beside it."""
    parts = list(picture.relative_to(root).with_suffix(".txt").parts)
    if _PICTURES in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index(_PICTURES)] = _LABELS
    return root.joinpath(*parts)


def label_files(root: Path, pictures: Iterable[Path]) -> set[Path]:
    """All texts below `labels` in the folders where those of these pictures are looked for, but classes.txt."""
    folders = {label_of(root, picture).parent for picture in pictures}
    below = (folder for folder in folders if _LABELS in folder.relative_to(root).parts)
    return {path for folder in below for path in folder.glob("*.txt") if path.name != _NAMES}


def _described(root: Path) -> tuple[Path, Mapping[str, Any]] | None:
    for path in sorted((*root.glob("*.yaml"), *root.glob("*.yml")), key=lambda path: path.stem != "data"):
        fields = _fields(path)
        if isinstance(fields, dict) and "names" in fields and {"train", "val", "test"} & fields.keys():
            return path, fields
    return None


def _fields(path: Path) -> Any:
    """None where it is no YAML; but data.yaml must be."""
    from trunkline.training.data.plain_yaml import read_yaml  # late: it needs a package of the train extra

    try:
        return read_yaml(path)
    except DataInvalidError:
        if path.stem != "data":
            return None
        raise


def _names(path: Path, names: Any) -> tuple[str, ...]:
    """names: a list, or names by their numbers; texts all of them."""
    if isinstance(names, list):
        found = [str(name).strip() for name in names]
        while found and not found[-1]:  # empty lines at the end of a text
            found.pop()
        names = {str(number): name for number, name in enumerate(found)}
    if not isinstance(names, dict) or not names or names.keys() != set(map(str, range(len(names)))):
        raise DataInvalidError.at(path, "names is neither a list nor numbers from 0 with a name for each")
    ordered = tuple(str(names[str(number)]).strip() for number in range(len(names)))
    if len(set(ordered)) < len(ordered) or not all(ordered):
        raise DataInvalidError.at(path, "two classes have the same name, or one has none")
    return ordered


def _of_split(root: Path, path: Path, fields: Mapping[str, Any], split: str) -> Iterator[tuple[Path, str]]:
    given = fields.get(split, fields.get("valid") if split == "val" else None)
    for value in given if isinstance(given, list) else [] if given in _NOTHING else [given]:
        place = _place(root, str(fields.get("path") or ""), str(value))
        if place is None:
            raise DataInvalidError.at(path, f"{split} names what is not there below the data set")
        pictures = _listed(root, place) if place.is_file() else _all_below(place)
        yield from ((picture, split) for picture in pictures)


def _place(root: Path, base: str, value: str) -> Path | None:
    """Where it may be meant: files of other machines have a `path` of theirs, and others ../ too many."""
    plain = value
    while plain.startswith("../"):
        plain = plain[3:]
    for name in (posixpath.join(base, value), value, plain):
        path = below(root, root, name)
        if path is not None and is_there(path):
            return path
    return None


def _listed(root: Path, path: Path) -> Iterator[Path]:
    for number, line in enumerate(read_lines(path), 1):
        name = line.strip()
        if name:
            picture = _place(root, "", name)
            if picture is None or not is_file(picture):
                raise DataInvalidError.at(path, "its picture is missing", number)
            yield picture


def _all_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())


def _in_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """images/ with labels/, with splits inside or above them; or pictures and texts in folders of splits."""
    inside = root / _PICTURES
    parts = [part for part in _folders(inside) if split_named(part.name)]
    places = {part: split_named(part.name) or NONE for part in parts}
    if not parts and inside.is_dir():
        places[inside] = NONE
    for folder in _folders(root):
        if split_named(folder.name):
            below = folder / _PICTURES
            places[below if below.is_dir() else folder] = split_named(folder.name) or NONE
    for split in (*SPLITS, NONE):
        for place in (place for place, named in places.items() if named == split):
            pictures = (path for path in sorted(place.iterdir()) if path.suffix.lower() in PICTURE_SUFFIXES)
            yield from ((picture, split) for picture in pictures)


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
