"""Parents of classes, such as species above breeds: what a classifier says of each level."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.results import ScoredLabel
from trunkline.core.text import shown
from trunkline.heads.classification.task import MOST_LEVELS


class Hierarchy:
    """Levels above the classes, the most general one last."""

    def __init__(self, parents: Sequence[Sequence[str]]) -> None:
        """parents: for each level the name above each class, in the order of the classes."""
        self.names = [tuple(dict.fromkeys(level)) for level in parents]
        places = [{name: place for place, name in enumerate(names)} for names in self.names]
        # int64 (classes,) each
        self.above = [np.array([at[name] for name in level]) for at, level in zip(places, parents, strict=True)]

    def parents(self, scores: np.ndarray) -> tuple[ScoredLabel, ...]:
        """Probabilities of the classes, float (classes,) -> the most probable name of each level."""
        found = []
        for names, above in zip(self.names, self.above, strict=True):
            sums = np.bincount(above, scores, len(names)).astype(np.float32)  # (names,)
            best = int(sums.argmax())
            found.append(ScoredLabel(best, names[best], min(float(sums[best]), 1.0)))
        return tuple(found)


Rows = Sequence[Mapping[str, str]]


def learned_parents(option: str, dataset: Any, rows: Callable[[str], Rows]) -> list[list[str]]:
    """For each level the name above each class of the data, from that right above to the most general one.

    option: name of a CSV file class,parent, in which a parent may have one too, or of a column of the data's own, or
    of several with commas. Raises InvalidRequestError where a class has none, or one has two.
    """
    if option.lower().endswith(".csv"):
        return _from_file(option, dataset.classes, rows(option))
    columns = [each.strip() for each in option.split(",")]
    if len(columns) > MOST_LEVELS:
        raise InvalidRequestError(f"hierarchy: at most {MOST_LEVELS} levels")
    listed = rows("")
    return [_from_column(each, dataset, listed) for each in columns]


def _from_file(file: str, classes: Sequence[str], rows: Rows) -> list[list[str]]:
    if not rows or not {"class", "parent"} <= rows[0].keys():
        raise InvalidRequestError("hierarchy: the CSV file needs the columns class and parent")
    parents: dict[str, str] = {}
    for place, row in enumerate(rows, 1):
        if not (row["class"] and row["parent"]):
            raise InvalidRequestError(f"hierarchy: row {place} lacks a class or a parent")
        if parents.setdefault(row["class"], row["parent"]) != row["parent"]:
            raise InvalidRequestError(f"hierarchy: the class of row {place} had another parent before")
    chains = [_chain(place, name, parents, len(classes)) for place, name in enumerate(classes, 1)]
    depth = max(map(len, chains))
    return [[chain[min(level, len(chain) - 1)] for chain in chains] for level in range(depth)]


def _chain(place: int, name: str, parents: Mapping[str, str], classes: int) -> list[str]:
    found: list[str] = []
    while (name := parents.get(name, "")) and len(found) <= MOST_LEVELS:
        found.append(name)
    if not found:
        raise InvalidRequestError(f"hierarchy: class {place} of the {classes} of the data has no parent")
    if len(found) > MOST_LEVELS:
        raise InvalidRequestError(
            f"hierarchy: class {place} has more than {MOST_LEVELS} parents above, or is its own"
        )
    return found


def _from_column(column: str, dataset: Any, rows: Rows) -> list[str]:
    if not rows or column not in rows[0]:
        raise InvalidRequestError(f"hierarchy: the data has no column {shown(column)!r}; a file ends in .csv")
    labels = {sample.name: sample.label for sample in dataset.samples}
    found: dict[int, str] = {}
    for row in rows:
        label, parent = labels.get(row.get("file", "")), row[column]
        if label is not None and parent and found.setdefault(label, parent) != parent:
            raise InvalidRequestError(
                f"hierarchy: column {shown(column)!r} has two values for class {label + 1} of the data"
            )
    missing = next((place for place in range(len(dataset.classes)) if place not in found), None)
    if missing is not None:
        raise InvalidRequestError(f"hierarchy: column {shown(column)!r} is empty for class {missing + 1} of the data")
    return [found[place] for place in range(len(dataset.classes))]


def read_hierarchy(settings: object, classes: int, where: object) -> Hierarchy:
    """Of `settings.parents`. Raises ModelInvalidError."""
    good = isinstance(settings, list) and 0 < len(settings) <= MOST_LEVELS
    if not good or not all(_is_level(each, classes) for each in settings):  # type: ignore[attr-defined]
        raise ModelInvalidError(
            f"{where}: settings.parents is a list of 1 to {MOST_LEVELS} levels, each with a name for every class"
        )
    return Hierarchy(settings)  # type: ignore[arg-type]


def _is_level(level: object, classes: int) -> bool:
    return isinstance(level, list) and len(level) == classes and all(isinstance(each, str) and each for each in level)
