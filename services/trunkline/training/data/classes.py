"""The order of classes, and how many there must be."""

from collections.abc import Iterable
from pathlib import Path

from trunkline.core.errors import DataInvalidError


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once: by number where all are whole numbers, or else by name."""
    distinct = set(names)
    if all(name.isdecimal() for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def require_two(classes: tuple[str, ...], source: Path) -> None:
    """Raises DataInvalidError for fewer than two classes. source: the file or folder that they are from."""
    if len(classes) < 2:
        found = "only one class" if classes else "no class"
        raise DataInvalidError.at(source, f"there is {found}; a classifier needs two or more")
