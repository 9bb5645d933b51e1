"""Files that are read again when they change."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias


class _Seen(NamedTuple):
    """A file that is replaced differs in its inode, one that is written in its time."""

    inode: int
    changed_ns: int
    size: int


State: TypeAlias = tuple[_Seen | None, ...]


def state_of(paths: Iterable[Path]) -> State:
    """What tells one content of the files from the next; None for each that cannot be looked at."""
    return tuple(map(_seen, paths))


def _seen(path: Path) -> _Seen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Seen(found.st_ino, found.st_mtime_ns, found.st_size)
