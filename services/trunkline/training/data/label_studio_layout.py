"""Data sets in the JSON and the JSON-MIN that Label Studio exports: regions, choices as classes of pictures.

Source: the description of the export formats in the documentation of Label Studio.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.text import printable
from trunkline.training.data.json_text import read_json
from trunkline.training.data.label_studio_min import is_min, task_of
from trunkline.training.data.label_studio_shapes import read_results
from trunkline.training.data.labelled import Entry, ToolData, files_of, places_of, tool_data
from trunkline.training.data.names import Found, Names
from trunkline.training.data.numbers import truth
from trunkline.training.data.reading import read_start
from trunkline.training.data.remarks import Kind, Remarks

_START: Final = 65_536
_LIST: Final = re.compile(rb"^\W*\[\s*\{")
_OWN: Final = re.compile(rb'"(annotations|completions)"\s*:\s*\[')
_DATA: Final = re.compile(rb'"(data|predictions|file_upload|id)"\s*:')
_MIN: Final = re.compile(rb'"(annotation_id|original_width|rle)"\s*:')
_PREFIX: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")  # of the names of uploads
_LOCAL: Final = "?d="
_KEYS: Final = ("image", "img", "picture", "photo")

_Task = dict[str, Any]


def read_label_studio(root: Path, remarks: Remarks) -> ToolData | None:
    """The pictures of a file that Label Studio exported as JSON, or None where there is none.

    The file is any *.json in the folder or below its splits, or the root itself. Pictures are found by the end of
    their paths and URLs, those of uploads also without the eight digits that Label Studio puts before their names.
    Of a task the first annotation that is not cancelled counts; predictions do not. Raises DataInvalidError for a
    file that is no JSON.
    """
    base, found, entries = (root.parent if root.is_file() else root), False, list[Entry]()
    names = Names(base)
    for path, split in _files(root):
        document = _whole(read_json(path, remarks))
        if isinstance(document, list) and any(_is_task(task) for task in document):
            found = True
            entries += _File(base, path, split, names, remarks).entries(document)
    return tool_data(base, "label-studio", entries, remarks) if found else None


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    if root.is_file():
        if root.suffix.lower() == ".json" and _may_be(root):
            yield root, ""
        return
    for folder, split in places_of(root):
        yield from ((path, split) for path in files_of(folder, ".json") if _may_be(path))


def _may_be(path: Path) -> bool:
    start = read_start(path, _START).replace(b"\0", b"")
    return bool(_LIST.search(start) and _DATA.search(start) and (_OWN.search(start) or _MIN.search(start)))


def _whole(document: object) -> object:
    """JSON-MIN as JSON; the rest as it is."""
    if not isinstance(document, list) or not any(map(is_min, document)):
        return document
    tasks: dict[object, list[_Task]] = defaultdict(list)
    for place, entry in enumerate(document):
        if is_min(entry):
            given = entry.get("id")
            tasks[given if isinstance(given, int | str) else (place,)].append(entry)
    odd = [entry for entry in document if not is_min(entry)]
    return [*map(task_of, tasks.values()), *odd]


def _is_task(task: object) -> bool:
    return isinstance(task, dict) and isinstance(task.get("data"), dict) and _annotations(task) is not None


def _annotations(task: _Task) -> list[Any] | None:
    given = task.get("annotations", task.get("completions"))
    return given if isinstance(given, list) else None


class _File:
    """One export."""

    def __init__(self, root: Path, path: Path, split: str, names: Names, remarks: Remarks) -> None:
        self._split, self._names, self._remarks = split, names, remarks
        folders = (path.parent, path.parent / "images", root, root / "images")
        self._folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self._where = printable(path.relative_to(root).as_posix())

    def entries(self, tasks: Sequence[Any]) -> Iterator[Entry]:
        for place, task in enumerate(tasks, 1):
            where = f"{self._where}: task {place}"
            if not _is_task(task):
                self._remarks.leave_out("picture", Kind.ENTRY, where, "it has no data and no list of annotations")
                continue
            result = self._result(task, where)
            if result is None:
                continue
            picture = self._picture(task)
            sizes = ((each.get("original_width"), each.get("original_height")) for each in result)
            size = next((size for size in sizes if size != (None, None)), (None, None))
            sure = picture is not None and not picture.read_as
            yield Entry(where, picture, sure, self._split, size, partial(read_results, result))

    def _result(self, task: _Task, where: str) -> list[_Task] | None:
        """Of the one annotation that counts; None where the picture is left out."""
        given = [each for each in _annotations(task) or () if isinstance(each, dict)]
        kept = [each for each in given if not truth(each.get("was_cancelled"))]
        if not kept:
            text = "its annotations are cancelled" if given else "nobody has annotated it"
            self._remarks.leave_out("picture", Kind.UNLABELLED, where, text)
            return None
        if len(kept) > 1:
            self._remarks.read(Kind.SEVERAL, where, f"it has {len(kept)} annotations: the first is taken")
        result = kept[0].get("result")
        if not isinstance(result, list) or not all(isinstance(each, dict) for each in result):
            self._remarks.leave_out("picture", Kind.ENTRY, where, "its annotation has no list of results")
            return None
        return result

    def _picture(self, task: _Task) -> Found | None:
        for name in _names(task):
            found = self._names.find(name, self._folders)
            if found is not None:
                return found
        for name in _names(task):
            plain = _PREFIX.sub("", name.rpartition("/")[2])
            found = self._names.find(plain, self._folders)
            if found is not None:
                return found if found.read_as else Found(found.path, (Kind.PATH_END,))
        return None


def _names(task: _Task) -> list[str]:
    """What the task may call its picture."""
    data = task["data"]
    texts = {key: value for key, value in data.items() if isinstance(key, str) and isinstance(value, str)}
    key = next((key for key in _KEYS if key in texts), None)
    given = [texts[key]] if key else [name for name in map(_plain, texts.values()) if _is_picture(name)]
    upload = task.get("file_upload")
    names = [upload] if isinstance(upload, str) and upload else []
    return [*map(_plain, given), *names] if len(given) < 2 else names


def _plain(name: str) -> str:
    """Without what is no path: the start of a local file, or the end of a URL that is signed."""
    if _LOCAL in name:
        return name.partition(_LOCAL)[2]
    return name.partition("?")[0] if "://" in name else name


def _is_picture(name: str) -> bool:
    return f".{name.rpartition('.')[2].lower()}" in PICTURE_SUFFIXES
