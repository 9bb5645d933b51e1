"""Files of a data set by the names that its annotations give them, also where tools wrote those in their own way."""

import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from trunkline.core.text import printable
from trunkline.training.data.files import below
from trunkline.training.data.reading import is_file, is_there
from trunkline.training.data.remarks import Kind, Remarks

_LONGEST: Final = 4096  # characters of a name
_DEEPEST: Final = 32  # parts of a path that are looked at, from its end
_SAID: Final = {
    Kind.BACKSLASHES: "its backslashes are slashes",
    Kind.URL_CODED: "it is coded as in a URL",
    Kind.PATH_END: "the end of its path is there",
    Kind.UNICODE_FORM: "it is written in another form of Unicode",
    Kind.LETTER_CASE: "it has other upper and lower case",
}


@dataclass(frozen=True)
class Found:
    """A file that a name means. read_as: how, where it is not there by the name as it is."""

    path: Path
    read_as: tuple[Kind, ...] = ()


class Names:
    """Finds files and folders below the root of a data set; what it knows of the tree is from the first odd name on.

    A name as it is goes first. Then backslashes count as slashes, codes of URLs as what they mean, and the form of
    Unicode and upper and lower case do not count; of a path that leads elsewhere, the longest end that is there. What
    two files may mean is none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, list[str]] | None = None

    def find(self, name: str, folders: Sequence[Path] = (), *, folder: bool = False) -> Found | None:
        """The file of this name below one of these folders, or the folder of this name; None where there is none."""
        folders = folders or [self._root]
        if not name.strip() or len(name) > _LONGEST:
            return None
        for base in folders:
            path = self._absolute(name) if posixpath.isabs(name) else below(self._root, base, name)
            if path is not None and _is(path, folder):
                return Found(path)
        for text, kinds in _spellings(name):
            found = self._by_end(text, kinds, folders, folder)
            if found is not None:
                return found
        return None

    def _absolute(self, name: str) -> Path | None:
        """The place of a path that leads below the root as it is."""
        try:
            inside = posixpath.relpath(posixpath.normpath(name), self._root.absolute().as_posix())
        except ValueError:
            return None
        return below(self._root, self._root, inside)

    def _by_end(self, text: str, kinds: tuple[Kind, ...], folders: Sequence[Path], folder: bool) -> Found | None:
        parts = [part for part in text.split("/") if part not in ("", ".")]
        whole = not posixpath.isabs(text) and ".." not in parts
        while ".." in parts:  # what is above the root says nothing here
            parts = parts[parts.index("..") + 1 :]
        for start in range(max(0, len(parts) - _DEEPEST), len(parts)):
            end = "/".join(parts[start:])
            for base in folders:
                given = posixpath.normpath(posixpath.join(base.relative_to(self._root).as_posix(), end))
                path = self._like(given)
                if path is not None and _is(self._root / path, folder):
                    odd = (*kinds, *([] if whole and start == 0 else [Kind.PATH_END]), *_difference(given, path))
                    return Found(self._root / path, odd)
        return None

    def _like(self, path: str) -> str | None:
        """The one path in the tree that is this one but for case and form."""
        found = self._tree().get(_folded(path), [])
        return path if path in found else found[0] if len(found) == 1 else None

    def _tree(self) -> dict[str, list[str]]:
        if self._known is None:
            self._known = defaultdict(list)
            for path in _all_below(self._root):
                self._known[_folded(path)].append(path)
        return self._known


def say(found: Found, where: str, root: Path, remarks: Remarks) -> None:
    """A remark on how a name was read, where it was read in another way."""
    if found.read_as:
        name = found.path.relative_to(root).as_posix()
        reasons = " and ".join(_SAID[kind] for kind in found.read_as)
        remarks.read(found.read_as[0], where, f"its name is read as {printable(name)}: {reasons}")


def named(path: Path, root: Path, remarks: Remarks) -> str:
    """What a picture is called: its path below the root, with a remark where that is not UTF-8."""
    name = path.relative_to(root).as_posix()
    plain = printable(name)
    if plain != name:
        remarks.read(Kind.NAME_NOT_UTF8, plain, "its name is not UTF-8: it is read, and called so")
    return plain


def listed(folder: Path, *suffixes: str) -> list[Path]:
    """Files of a folder with one of these suffixes in upper or lower case, in order; [] where it is no folder."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes and not is_hidden(path)]


def is_hidden(path: Path) -> bool:
    """Such as ._0.jpg, which macOS puts into archives beside 0.jpg."""
    return path.name.startswith(".")


def _is(path: Path, folder: bool) -> bool:
    return is_there(path) and path.is_dir() if folder else is_file(path)


def _spellings(name: str) -> Iterator[tuple[str, tuple[Kind, ...]]]:
    """The name as paths with slashes, and what was changed for that."""
    slashed = name.removeprefix("file://").replace("\\", "/")
    kinds = (Kind.BACKSLASHES,) if "\\" in name else ()
    yield slashed, kinds
    if "%" in slashed:
        plain = unquote(slashed, errors="surrogateescape")
        if plain != slashed:
            yield plain.replace("\\", "/"), (*kinds, Kind.URL_CODED)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _difference(given: str, path: str) -> Iterator[Kind]:
    if given != path:
        same = unicodedata.normalize("NFC", given) == unicodedata.normalize("NFC", path)
        yield Kind.UNICODE_FORM if same else Kind.LETTER_CASE


def _all_below(root: Path) -> Iterator[str]:
    """Paths of files and folders; links to folders are not followed. How many there may be, the scan has said."""
    for folder, folders, files in os.walk(root):
        base = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in (*folders, *files):
            yield name if base == "." else f"{base}/{name}"
