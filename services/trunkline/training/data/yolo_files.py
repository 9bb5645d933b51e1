"""Where the pictures of a data set in YOLO's layout lie, and what its classes are called."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.training.data.names import Found, Names, is_hidden, listed, say
from trunkline.training.data.numbers import whole
from trunkline.training.data.reading import is_file
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named
from trunkline.training.data.texts import lines_of_text, read_text
from trunkline.training.data.yolo_points import YoloPoints, read_key_points

_PICTURES, _LABELS = "images", "labels"
_NAMES: Final = "classes.txt"
_SPLIT_KEYS: Final = frozenset(SPLITS)
_NOTHING: Final = (None, "", "null", "Null", "NULL", "~")
_CLASSES: Final = (_NAMES, f"labels/{_NAMES}", "obj.names")


@dataclass(frozen=True)
class YoloFiles:
    """classes: names in the order of their numbers. pictures: with the split of each. source: of the names.

    key_points: where lines have them behind the box.
    """

    classes: tuple[str, ...]
    pictures: tuple[tuple[Path, str], ...]
    source: Path
    key_points: YoloPoints | None = None


def find_yolo(root: Path, remarks: Remarks) -> YoloFiles | None:
    """What data.yaml says (names, train, val, test), or Darknet's obj.data, or what folders images/ and labels/ show.

    None without any. Raises DataInvalidError with the file and the reason; OSError.
    """
    places = _Places(root, remarks)
    described = _described(root, remarks, _SPLIT_KEYS) or _darknet(root, places, remarks)
    if described is not None:
        path, fields = described
        pictures = [pair for split in SPLITS for pair in places.of_split(path, fields, split)]
        return _yolo(path, fields, pictures, remarks)
    pictures = list(_in_folders(root))
    if not any(label_of(root, picture).is_file() for picture, _ in pictures):
        return None
    described = _described(root, remarks)  # names alone, as supervision writes it
    if described is not None:
        return _yolo(*described, pictures, remarks)
    named = next((root / name for name in _CLASSES if (root / name).is_file()), None)
    if named is None:
        raise DataInvalidError.at(root, "the names of the classes are missing: data.yaml with names, or classes.txt")
    return YoloFiles(_names(named, _lines(root, named, remarks)), tuple(pictures), named)


def _yolo(path: Path, fields: Mapping[str, Any], pictures: Iterable[tuple[Path, str]], remarks: Remarks) -> YoloFiles:
    names, key_points = _names(path, fields.get("names")), read_key_points(path, fields)
    if fields.get("nc") not in _NOTHING and whole(fields["nc"]) != len(names):
        remarks.read(Kind.COUNT, path.name, f"nc is not the number of names: the {len(names)} names count")
    return YoloFiles(names, tuple(dict.fromkeys(pictures)), path, key_points)


def label_of(root: Path, picture: Path) -> Path:
    """The text file of a picture: below `labels` where the picture lies below `images`, or else beside it."""
    parts = list(picture.relative_to(root).with_suffix(".txt").parts)
    if _PICTURES in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index(_PICTURES)] = _LABELS
    path = root.joinpath(*parts)
    upper = path.with_suffix(".TXT")
    return upper if not path.is_file() and upper.is_file() else path


def label_files(root: Path, pictures: Iterable[Path]) -> set[Path]:
    """All texts below `labels` in the folders where those of these pictures are looked for, but classes.txt."""
    folders = {label_of(root, picture).parent for picture in pictures}
    below = (folder for folder in folders if _LABELS in folder.relative_to(root).parts)
    return {path for folder in below for path in listed(folder, ".txt") if path.name != _NAMES}


def _lines(root: Path, path: Path, remarks: Remarks) -> list[str]:
    return list(lines_of_text(read_text(path, path.relative_to(root).as_posix(), remarks)))


def _described(
    root: Path, remarks: Remarks, keys: AbstractSet[str] = frozenset()
) -> tuple[Path, Mapping[str, Any]] | None:
    """The file of YAML with names and, where keys are asked for, one of them."""
    for path in sorted(listed(root, ".yaml", ".yml"), key=lambda path: path.stem != "data"):
        own = Remarks()
        fields = _fields(path, own)
        if isinstance(fields, dict) and "names" in fields and (not keys or keys & fields.keys()):
            remarks.extend(own)
            return path, fields
    return None


def _fields(path: Path, remarks: Remarks) -> Any:
    """None where it is no YAML; but data.yaml must be."""
    from trunkline.training.data.plain_yaml import read_yaml  # late: it needs a package of the train extra

    try:
        return read_yaml(path, remarks)
    except DataInvalidError:
        if path.stem != "data":
            return None
        raise


def _darknet(root: Path, places: "_Places", remarks: Remarks) -> tuple[Path, Mapping[str, Any]] | None:
    """Lines `key = value` of a file *.data, or obj.names beside train.txt."""
    for path in listed(root, ".data"):
        pairs = (line.partition("=") for line in _lines(root, path, remarks))
        fields: dict[str, Any] = {key.strip(): value.strip() for key, equals, value in pairs if equals}
        named = places.file(fields.get("names", ""))
        if named is not None and {"train", "valid"} & fields.keys():
            return path, {**fields, "names": _lines(root, named, remarks)}
    named = root / "obj.names"
    lists = {split: path.name for path in listed(root, ".txt") if (split := split_named(path.stem))}
    if is_file(named) and "train" in lists:
        return named, {**lists, "names": _lines(root, named, remarks)}
    return None


def _names(path: Path, names: Any) -> tuple[str, ...]:
    """names: a list, or names by their numbers; texts all of them."""
    if isinstance(names, list):
        found = [str(name).strip() for name in names]
        while found and not found[-1]:  # empty lines at the end of a text
            found.pop()
        names = {str(number): name for number, name in enumerate(found)}
    if isinstance(names, dict):
        names = {str(whole(key)): name for key, name in names.items()}
    if not isinstance(names, dict) or not names or names.keys() != set(map(str, range(len(names)))):
        raise DataInvalidError.at(path, "names is neither a list nor numbers from 0 with a name for each")
    ordered = tuple(str(names[str(number)]).strip() for number in range(len(names)))
    if len(set(ordered)) < len(ordered) or not all(ordered):
        raise DataInvalidError.at(path, "two classes have the same name, or one has none")
    return ordered


class _Places:
    """Folders and lists of pictures as a description names them, which may be of another machine."""

    def __init__(self, root: Path, remarks: Remarks) -> None:
        self._root, self._remarks, self._names = root, remarks, Names(root)

    def of_split(self, path: Path, fields: Mapping[str, Any], split: str) -> Iterator[tuple[Path, str]]:
        """Without val or test there is only a remark."""
        given = fields.get(split, fields.get("valid") if split == "val" else None)
        for value in given if isinstance(given, list) else [] if given in _NOTHING else [given]:
            place = self._place(str(fields.get("path") or ""), str(value))
            if place is None and split == "train":
                raise DataInvalidError.at(path, f"{split} names what is not there below the data set")
            if place is None:
                text = f"{split} names what is not there below the data set: it is read without"
                self._remarks.read(Kind.SPLIT_MISSING, path.name, text)
                continue
            say(place, f"{path.name}: {split}", self._root, self._remarks)
            pictures = self._listed(place.path) if place.path.is_file() else _all_below(place.path)
            yield from ((picture, split) for picture in pictures)

    def file(self, name: str) -> Path | None:
        found = self._names.find(name)
        return found.path if found is not None else None

    def _place(self, base: str, value: str) -> Found | None:
        for name in dict.fromkeys((f"{base}/{value}" if base else value, value)):
            found = self._either(name)
            if found is not None and not found.read_as:
                return found
        plain = value
        while plain.startswith("../"):  # as Roboflow writes it
            plain = plain[3:]
        found = self._either(plain)
        return Found(found.path) if found is not None and not found.read_as else self._either(value)

    def _either(self, name: str) -> Found | None:
        """The folder of this name, or the list. images/ alone is not what is left of val/images/."""
        folder, file = self._names.find(name, folder=True), self._names.find(name)
        if (
            folder is not None
            and folder.read_as
            and _splits_in(name) - _splits_in(folder.path.relative_to(self._root).as_posix())
        ):
            folder = None
        both = [found for found in (folder, file) if found is not None]
        return min(both, key=lambda found: len(found.read_as), default=None)

    def _listed(self, path: Path) -> Iterator[Path]:
        """Pictures of a list; those that are not there are left out."""
        name = path.relative_to(self._root).as_posix()
        folders = list(dict.fromkeys((self._root, path.parent)))
        for number, line in enumerate(lines_of_text(read_text(path, name, self._remarks)), 1):
            if not line.strip():
                continue
            where = f"{name}, line {number}"
            found = self._names.find(line.strip(), folders)
            if found is None:
                self._remarks.leave_out("picture", Kind.PICTURE_MISSING, where, "its picture is missing")
            else:
                say(found, where, self._root, self._remarks)
                yield found.path


def _splits_in(path: str) -> set[str | None]:
    """The splits that parts of a path are called after."""
    return {split_named(part) for part in path.replace("\\", "/").split("/")} - {None}


def _all_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_picture(path))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not is_hidden(path) and path.is_file()


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
            yield from ((picture, split) for picture in listed(place, *PICTURE_SUFFIXES))


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
