"""What Ultralytics writes into an exported detector beside the graph. Ultralytics is not needed."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trunkline.core.errors import ModelInvalidError
from trunkline.core.text import shown

_LONGEST_TEXT = 1_000_000
_OWN = ("names", "imgsz", "task", "stride")  # facts that its exporter writes
_TASKS = {
    "segment": "a segmentation model (masks)",
    "classify": "a classifier",
    "pose": "a pose model (key points)",
    "obb": "a model of turned boxes",
}
Facts = Mapping[str, str]


def is_from(facts: Facts) -> bool:
    """Whether a file with these facts comes from Ultralytics."""
    return any(name in facts for name in _OWN)


def check_task(facts: Facts, file: Path) -> None:
    """Raises ModelInvalidError where the file says that it is no detector."""
    task = facts.get("task", "detect")
    if task != "detect":
        raise ModelInvalidError(
            f"{file} is {_TASKS.get(task, f'of task {shown(task)!r}')}; only detectors can be imported"
        )


def stated_size(facts: Facts, file: Path) -> tuple[int, int]:
    """Height and width of a model that takes any. Raises ModelInvalidError where it does not say its own."""
    size = _literal(facts.get("imgsz", ""))
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[0], size[1]
    raise ModelInvalidError(f"{file} takes any size and does not say its own: give --width and --height")


def names_of(facts: Facts, file: Path) -> tuple[str, ...]:
    """The classes, () for none. Ultralytics writes a dict from index to name; older ones a list."""
    if "names" not in facts:
        return ()
    found = _literal(facts["names"])
    if isinstance(found, dict):
        found = [found.get(index) for index in range(len(found))]
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise ModelInvalidError(f"the class names in {file} cannot be read: give them with --labels FILE")
    return tuple(_line(name) for name in found)


def description_of(facts: Facts) -> str:
    version = _line(facts.get("version", ""))
    return _line(facts.get("description", "")) + (f" (exported by {version})" if version else "")


def licence_of(facts: Facts) -> str | None:
    return _line(facts.get("license", "")) or None


def _literal(text: str) -> Any:
    """A Python literal, or None. Nothing is run."""
    try:
        return ast.literal_eval(text) if len(text) <= _LONGEST_TEXT else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
