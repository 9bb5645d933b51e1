"""The classes of COCO's files: their categories, but for roots that name no class."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.coco_files import CocoFile
from trunkline.training.data.numbers import id_of, whole
from trunkline.training.data.remarks import Kind, Remarks

Id = int | str


class _Category:
    def __init__(self, number: Id, name: str, above: str, where: str) -> None:
        self.number, self.name, self.above, self.where = number, name, above, where


def read_categories(files: Sequence[CocoFile], remarks: Remarks) -> tuple[dict[Id, int], tuple[str, ...]]:
    """Label by id, and the names of the classes in the order of their ids.

    No class is what no annotation uses and others name as their supercategory, as Roboflow writes it; nor, of two
    categories of one name, the one that is not used. Raises DataInvalidError where there is none, for one id with two
    names, and for two that are used and have one name.
    """
    found: dict[Id, _Category] = {}
    for file in files:
        for place, entry in enumerate(file.document["categories"], 1):
            category = _category(file.path, entry, place, remarks)
            before = found.setdefault(category.number, category)
            if before.name != category.name:
                raise DataInvalidError.at(file.path, f"category {place} of the list has another name elsewhere")
    if not found:
        raise DataInvalidError.at(files[0].path, "there are no categories")
    used = {id_of(entry.get("category_id")) for file in files for entry in file.document["annotations"] if _is(entry)}
    kept = _without_twins(_without_roots(list(found.values()), used, remarks), used, remarks)
    if len({category.name for category in kept}) < len(kept):
        raise DataInvalidError.at(files[0].path, "two categories have the same name")
    kept.sort(key=lambda category: (isinstance(category.number, str), category.number))
    return {category.number: label for label, category in enumerate(kept)}, tuple(each.name for each in kept)


def _is(entry: object) -> bool:
    return isinstance(entry, dict)


def _category(path: Path, entry: Any, place: int, remarks: Remarks) -> _Category:
    where = f"{path.name}: category {place} of the list"
    given = entry.get("id") if isinstance(entry, dict) else None
    number, name = whole(given), entry.get("name") if isinstance(entry, dict) else None
    if isinstance(name, int | float) and not isinstance(name, bool):
        remarks.read(Kind.NUMBER, where, "its name is a number, which is read as a text")
        name = f"{name:g}" if isinstance(name, float) else str(name)
    if number is None or not isinstance(name, str) or not name.strip():
        raise DataInvalidError.at(path, f"category {place} of the list has no whole number as id, or no name")
    if not isinstance(given, int):
        remarks.read(Kind.ID, where, "its id is read as the whole number that it means")
    above = entry.get("supercategory")
    return _Category(number, name.strip(), above.strip() if isinstance(above, str) else "", where)


def _without_roots(found: list[_Category], used: set[Any], remarks: Remarks) -> list[_Category]:
    kept = []
    below = Counter(category.above for category in found if category.above != category.name)
    for category in found:
        if below[category.name] and category.number not in used:
            text = "it is the supercategory of others and no annotation uses it: it is read as no class"
            remarks.read(Kind.ROOT_CATEGORY, category.where, text)
        else:
            kept.append(category)
    return kept if kept else found


def _without_twins(found: list[_Category], used: set[Any], remarks: Remarks) -> list[_Category]:
    names: dict[str, list[_Category]] = {}
    for category in found:
        names.setdefault(category.name, []).append(category)
    kept = []
    for twins in names.values():
        real = [each for each in twins if each.number in used] or twins
        kept += real
        for each in twins:
            if each not in real:
                text = "another one has its name and no annotation uses it: it is read as no class"
                remarks.read(Kind.UNUSED_TWIN, each.where, text)
    return kept
