"""The classes of a detector: their names, and the numbers by which it means them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.errors import InvalidRequestError
from trunkline.core.text import shown
from trunkline.training.imported.names import read_names

COCO = "coco"  # in place of a file: the classes of COCO
_NONE = ("__background__", "N/A")  # torchvision's names for numbers that stand for no class


@dataclass(frozen=True)
class Classes:
    """names: in the order of the head. ids: the number that each has in the answers of a model that gives numbers."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


def plain_classes(labels: Path | None, stated: Sequence[str], file: Path, count: int | None) -> Classes:
    """Those of a model that has a column for each: of `labels`, a file or COCO, or those that the file states.

    count: how many the outputs have room for, where that is seen. Raises InvalidRequestError.
    """
    names = without_gaps(_coco()) if _is_coco(labels) else _stated(labels, stated, file, count)
    return Classes(checked_names(names, file), tuple(range(len(names))))


def numbered_classes(labels: Path | None, file: Path, count: int | None) -> Classes:
    """Those of a model that answers with numbers, as torchvision's, where 0 is the background unless all are named.

    count: how many it knows, with the background; None where nobody knows. Names that stand for none, such as
    `__background__`, are left out. Raises InvalidRequestError.
    """
    names = _coco() if _is_coco(labels) else _stated(labels, (), file, count)
    if count is not None and len(names) not in (count, count - 1):
        raise InvalidRequestError(
            f"{file} knows {count} classes with the background, and {len(names)} have a name: give {count - 1} names"
        )
    from_zero = names[0] == _NONE[0] or len(names) == count
    numbered = [(name, number) for number, name in enumerate(names, 0 if from_zero else 1) if name not in _NONE]
    return Classes(checked_names([name for name, _ in numbered], file), tuple(number for _, number in numbered))


def without_gaps(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in _NONE)


def _is_coco(labels: Path | None) -> bool:
    return labels is not None and str(labels) == COCO


def _stated(labels: Path | None, stated: Sequence[str], file: Path, count: int | None) -> tuple[str, ...]:
    names = read_names(labels) if labels is not None else tuple(stated)
    if not names:
        whose = f"its {count} classes" if count else "its classes"
        raise InvalidRequestError(
            f"{file} does not name {whose}: give --labels FILE, or --labels {COCO} for those of COCO"
        )
    return names


def _coco() -> tuple[str, ...]:
    """The 91 categories of COCO as torchvision lists them, with the background and the gaps."""
    from torchvision.models._meta import _COCO_CATEGORIES

    return tuple(_COCO_CATEGORIES)


def checked_names(names: Sequence[str], file: Path) -> tuple[str, ...]:
    """Raises InvalidRequestError for a class without a name, or two classes of one name."""
    if not names or not all(names):
        raise InvalidRequestError(f"{file}: a class has no name: give all names with --labels FILE")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InvalidRequestError(
            f"{file}: two classes are called {shown(twice)!r}: give other names with --labels FILE"
        )
    return tuple(names)
