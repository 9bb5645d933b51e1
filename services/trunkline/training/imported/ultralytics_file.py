"""What Ultralytics writes into an exported detector, and which layout its output has. Ultralytics is not needed."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import STRIDE
from trunkline.core.text import shown
from trunkline.training.imported.onnx_file import has_halves, inputs_of, is_float32, properties, shape_of
from trunkline.training.imported.request import ImportRequest

_LONGEST_TEXT = 1_000_000
_TASKS = {
    "segment": "a segmentation model (masks)",
    "classify": "a classifier",
    "pose": "a pose model (key points)",
    "obb": "a model of turned boxes",
}
Layout = Literal["grid", "rows"]


@dataclass(frozen=True)
class YoloFile:
    """A detector in an ONNX file. names: () where the file has none. channels: 3, or 1 for gray."""

    model: Any
    channels: int
    height: int
    width: int
    names: tuple[str, ...]
    description: str
    licence: str | None


def described(model: Any, request: ImportRequest) -> YoloFile:
    """Raises ModelInvalidError for what is no detector, InvalidRequestError for a size that does not fit it."""
    file, facts = request.file, properties(model)
    task = facts.get("task", "detect")
    if task != "detect":
        raise ModelInvalidError(
            f"{file} is {_TASKS.get(task, f'of task {shown(task)!r}')}; only detectors can be imported"
        )
    channels, height, width = _input(model, file)
    if (height is None or width is None) and not (request.width and request.height):
        height, width = _stated_size(facts, file)
    height, width = _agreed("height", height, request.height, file), _agreed("width", width, request.width, file)
    return YoloFile(
        model=model,
        channels=channels,
        height=height,
        width=width,
        names=_names(facts, file) if request.labels is None else (),
        description=_line(facts.get("description", "")) + _version(facts),
        licence=_line(facts.get("license", "")) or None,
    )


def layout_of(shape: tuple[int, ...], classes: int, file: Path) -> Layout:
    """How the output tells of boxes.

    grid: (1, 4 + classes, N), centre x and y, width, height, then a probability for each class (YOLOv8, 9, 11, 12).
    rows: (1, N, 6), x_min y_min x_max y_max, probability, class (YOLOv10 and 26 end to end, and nms=True).
    Raises ModelInvalidError for anything else.
    """
    if len(shape) == 3 and shape[0] == 1:
        if shape[1] == 4 + classes and shape[1] < shape[2]:
            return "grid"
        if shape[2] == 6:
            return "rows"
        if shape[1] == 4 + classes:
            return "grid"
    hint = ": YOLOv5's own export has other columns" if len(shape) == 3 and shape[2] == 5 + classes else ""
    raise ModelInvalidError(
        f"{file} gives an output of shape {list(shape)} for {classes} classes; known are (1, {4 + classes}, N) "
        f"and (1, N, 6){hint}; are the class names right?"
    )


def class_count(shape: tuple[int, ...]) -> int | None:
    """Classes that an output has room for; None where the shape does not say."""
    return shape[1] - 4 if len(shape) == 3 and shape[2] != 6 and shape[1] > 4 else None


def _input(model: Any, file: Path) -> tuple[int, int | None, int | None]:
    """Channels, height and width; None for what is free."""
    values = inputs_of(model)
    if len(values) != 1 or len(shape_of(values[0])) != 4:
        raise ModelInvalidError(
            f"{file} does not take one picture (1, 3, height, width): export it without more inputs"
        )
    if not is_float32(values[0]) or has_halves(model):
        raise ModelInvalidError(f"{file} does not compute in float32: export it without half=True or int8=True")
    batch, channels, height, width = shape_of(values[0])
    if batch not in (1, None):
        raise ModelInvalidError(f"{file} takes {batch} pictures at a time: export it with batch=1")
    if channels not in (1, 3):
        raise ModelInvalidError(f"{file} takes {channels} channels: only 3 (colour) and 1 (gray) can be served")
    if len(model.graph.output) != 1:
        raise ModelInvalidError(f"{file} has {len(model.graph.output)} outputs, a detector of Ultralytics has one")
    return channels, height, width


def _stated_size(facts: Mapping[str, str], file: Path) -> tuple[int, int]:
    size = _literal(facts.get("imgsz", ""))
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[0], size[1]
    raise ModelInvalidError(f"{file} takes any size and does not say its own: give --width and --height")


def _agreed(side: str, stated: int | None, wanted: int | None, file: Path) -> int:
    size = wanted or stated
    if size is None or (stated is not None and size != stated):
        raise InvalidRequestError(f"{file} has {side} {stated}, not {size}: leave --{side} out, or export it again")
    if size % STRIDE or not STRIDE <= size <= 4096:
        raise InvalidRequestError(f"{side} {size} cannot be served: export with imgsz a multiple of {STRIDE}")
    return size


def _names(facts: Mapping[str, str], file: Path) -> tuple[str, ...]:
    """Ultralytics writes a dict from index to name; older ones a list."""
    if "names" not in facts:
        return ()
    found = _literal(facts["names"])
    if isinstance(found, dict):
        found = [found.get(index) for index in range(len(found))]
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise ModelInvalidError(f"the class names in {file} cannot be read: give them with --labels FILE")
    return tuple(_line(name) for name in found)


def _literal(text: str) -> Any:
    """A Python literal, or None. Nothing is run."""
    try:
        return ast.literal_eval(text) if len(text) <= _LONGEST_TEXT else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _version(facts: Mapping[str, str]) -> str:
    version = _line(facts.get("version", ""))
    return f" (exported by {version})" if version else ""


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
