"""A look at the tree of a data set before anything of it is opened: how many files there are, where links lead."""

import os
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.roots import SETTING
from trunkline.training.data.reading import is_allowed, is_confined, require_allowed, unreadable

MOST_FILES: Final = 250_000  # each takes about 2 KB of memory once it is read


def scan(root: Path) -> None:
    """Raises DataForbiddenError where the data may not be read, DataInvalidError for a link that leads out of what
    may, for more files than 250,000, and for a folder that cannot be looked into."""
    require_allowed(root)
    if not root.is_dir():
        return
    count, waiting, seen = 0, [str(root)], {os.path.realpath(root)}
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    count += 1
                    if count > MOST_FILES:
                        raise DataInvalidError.at(root, f"there are more than {MOST_FILES} files: split the data")
                    if entry.is_symlink():
                        waiting += _linked(entry, root, seen)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError as error:
            raise unreadable(_name(folder, root), error) from error


def _linked(entry: "os.DirEntry[str]", root: Path, seen: set[str]) -> list[str]:
    """The folder that a link leads to, where it is to be looked into too."""
    if not is_confined():
        return []
    if not is_allowed(Path(entry.path)):
        raise DataInvalidError.at(_name(entry.path, root), f"it is a link that leads out of the folders of {SETTING}")
    real = os.path.realpath(entry.path)
    if real in seen or not os.path.isdir(real):  # noqa: PTH112 - a text, as all here: there may be very many
        return []
    seen.add(real)
    return [entry.path]


def _name(path: str, root: Path) -> str:
    return os.path.relpath(path, root)
