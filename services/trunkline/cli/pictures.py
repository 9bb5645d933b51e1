"""The pictures that a command line means: files as they are named, folders with all pictures below them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from trunkline.core.errors import ConfigurationError
from trunkline.core.suffixes import PICTURE_SUFFIXES


def find_pictures(named: Iterable[Path]) -> list[Path]:
    """Each named file, whatever its name, and the pictures of each named folder, in order of their paths.

    In folders a name decides, hidden files and folders are left out, and links to folders are not followed. A path
    comes once. Raises ConfigurationError for a folder without pictures, OSError for one that cannot be read.
    """
    return list(dict.fromkeys(named_pictures(named)))


def named_pictures(named: Iterable[Path]) -> list[Path]:
    """The same; a file that is named twice comes twice."""
    return [path for each in named for path in (_below(each) if each.is_dir() else [each])]


def _below(folder: Path) -> Iterator[Path]:
    found = False
    for root, folders, files in os.walk(folder, onerror=_fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
                found = True
                yield Path(root) / name
    if not found:
        raise ConfigurationError(f"there is no picture in {folder}: looked for {', '.join(sorted(PICTURE_SUFFIXES))}")


def _fail(error: OSError) -> None:
    raise error
