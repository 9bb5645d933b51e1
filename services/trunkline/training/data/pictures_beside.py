"""The picture of a file of annotations, where each picture has one."""

from collections.abc import Sequence
from pathlib import Path

from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.training.data.names import Found, Names


def picture_of(names: Names, path: Path, name: str, folders: Sequence[Path]) -> tuple[Found | None, bool]:
    """The one that is called as the file is, or else that of the name in it; whether it is the former.

    name: as the file gives it, or "". folders: in which it may lie.
    """
    for suffix in sorted(PICTURE_SUFFIXES, key=lambda suffix: (suffix != Path(name).suffix.lower(), suffix)):
        found = names.find(path.stem + suffix, folders)
        if found is not None:
            return (Found(found.path) if found.path.stem == path.stem else found), True
    for candidate in (name, *(name + suffix for suffix in sorted(PICTURE_SUFFIXES))):
        found = names.find(candidate, folders) if name else None
        if found is not None and found.path.suffix.lower() in PICTURE_SUFFIXES:
            return found, False
    return None, False
