"""Which JSON files of a folder are COCO's, and of which split each is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.json_text import NoJsonError, read_json
from trunkline.training.data.labelme_files import is_labelme
from trunkline.training.data.names import listed
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.splits import NONE, SPLITS, split_named

_LISTS: Final = ("images", "annotations", "categories")
_FOLDERS: Final = ("annotations", "Annotations")
OBJECTS: Final = "instances"  # beside captions_ and person_keypoints_ in COCO itself
POINTS: Final = "person_keypoints"
_TYPICAL: Final = re.compile(r"^_?(instances|annotations)|coco", re.IGNORECASE)


@dataclass(frozen=True)
class CocoFile:
    """A file with the three lists of COCO, each a list. split: "" where its name and folder say none."""

    path: Path
    split: str
    document: dict[str, list[Any]]


def find_coco(root: Path, remarks: Remarks, first: str = OBJECTS) -> list[CocoFile]:
    """COCO's files in a folder, in the order of the splits, or the file itself; [] where there are none.

    Looked for in the folder, in annotations/ and in folders of splits. Where names of files begin with `first`, only
    those count. Raises DataInvalidError for a file that is broken, for one without one of the lists, and for
    two of one split.
    """
    found, partial = [], []
    for path in _candidates(root):
        own = Remarks()
        document = _read(path, own)
        if isinstance(document, dict):
            lists = [name for name in _LISTS if isinstance(document.get(name), list)]
            if len(lists) == len(_LISTS):
                found.append(CocoFile(path, _split(path), document))
                remarks.extend(own)
            elif "images" in document and len(document.keys() & _LISTS) > 1:
                partial.append((path, next(name for name in _LISTS if name not in lists)))
    if partial and not found:
        raise DataInvalidError.at(partial[0][0], f"there is no list {partial[0][1]!r}, which COCO's files have")
    objects = [file for file in found if file.path.name.startswith(first)]
    return _in_order(objects or found)


def _candidates(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    inside = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and split_named(folder.name)]
    for folder in (root, *(root / name for name in _FOLDERS), *inside):
        if folder.is_dir():
            yield from (path for path in listed(folder, ".json") if path.is_file() and not is_labelme(path))


def _read(path: Path, remarks: Remarks) -> Any:
    """What the file holds; None for one that is no JSON and has no name that COCO's files have."""
    try:
        return read_json(path, remarks)
    except NoJsonError:
        if not (_TYPICAL.search(path.name) or _split(path) or path.parent.name in _FOLDERS):
            return None
        raise


def _split(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.stem.lower())
    named = (split_named(word) for word in (*words, path.parent.name))
    return next((split for split in named if split), NONE)


def _in_order(files: list[CocoFile]) -> list[CocoFile]:
    by_split: dict[str, CocoFile] = {}
    for file in files:
        other = by_split.setdefault(file.split, file)
        if other is not file or (NONE in by_split and len(by_split) > 1):
            other = next(each for each in files if each is not file)
            reason = f"it and {other.path.name} are not one for each split: name the file to read"
            raise DataInvalidError.at(file.path, reason)
    return [by_split[split] for split in (*SPLITS, NONE) if split in by_split]
