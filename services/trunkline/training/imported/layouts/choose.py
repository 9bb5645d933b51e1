"""Which layout a file has, by the shapes of what it answered."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trunkline.core.errors import ModelInvalidError
from trunkline.training.imported.classes import Classes
from trunkline.training.imported.detector_file import DetectorFile
from trunkline.training.imported.layouts.layout import Layout
from trunkline.training.imported.layouts.lists import Lists
from trunkline.training.imported.layouts.nanodet import Nanodet
from trunkline.training.imported.layouts.places import strides_of
from trunkline.training.imported.layouts.ultralytics import Grid, Rows
from trunkline.training.imported.layouts.yolox import Yolox, decoded_in_file

_ANCHORS = 3  # boxes of YOLOv5 for each place
Shape = tuple[int, ...]


def layout_of(found: Mapping[str, np.ndarray], classes: Classes, detector: DetectorFile, file: Path) -> Layout:
    """Of a file that answered so about a picture. Raises ModelInvalidError where none is known."""
    if len(found) > 1:
        return _lists(found, classes, detector, file)
    ((name, values),) = found.items()
    shape, count = values.shape, len(classes.names)
    if values.dtype != np.float32:
        raise ModelInvalidError(f"{file} does not answer with numbers in float32")
    if len(shape) == 3 and shape[0] == 1:
        layout = _ultralytics(name, shape, count, detector) or _grids(name, values, count, detector)
        if layout is not None:
            return layout
    raise ModelInvalidError(_unknown(shape, count, detector, file))


def class_count(found: Mapping[str, np.ndarray]) -> int | None:
    """Classes that Ultralytics' output has room for; None where the shape does not say."""
    shape = next(iter(found.values())).shape
    return shape[1] - 4 if len(shape) == 3 and shape[2] != 6 and 4 < shape[1] < shape[2] else None


def _ultralytics(name: str, shape: Shape, count: int, detector: DetectorFile) -> Layout | None:
    if shape[1] == 4 + count and shape[1] < shape[2]:
        return Grid(name, shape[2], count)
    one_class_of_yolox = count == 1 and _strides(shape, detector) is not None and not detector.is_ultralytics
    if shape[2] == 6 and not one_class_of_yolox:
        return Rows(name, shape[1], count)
    return Grid(name, shape[2], count) if shape[1] == 4 + count else None


def _grids(name: str, values: np.ndarray, count: int, detector: DetectorFile) -> Layout | None:
    """YOLOX and NanoDet: a row for each place."""
    _, rows, width = values.shape
    strides, size = _strides(values.shape, detector), (detector.height, detector.width)
    if strides is None:
        return None
    if width == 5 + count:
        return Yolox(name, rows, count, *size, strides, decoded_in_file(values, *size, strides))
    bins, left = divmod(width - count, 4)
    return Nanodet(name, rows, count, bins, *size, strides) if bins >= 2 and not left else None


def _lists(found: Mapping[str, np.ndarray], classes: Classes, detector: DetectorFile, file: Path) -> Layout:
    """Boxes, labels and scores, known by their types and shapes: their order differs from net to net."""
    boxes = [name for name, each in found.items() if each.dtype == np.float32 and each.shape[1:] == (4,)]
    labels = [name for name, each in found.items() if each.dtype == np.int64 and each.ndim == 1]
    scores = [name for name, each in found.items() if each.dtype == np.float32 and each.ndim == 1]
    if len(found) != 3 or not (len(boxes) == len(labels) == len(scores) == 1):
        shapes = ", ".join(f"{each.dtype} {list(each.shape)}" for each in found.values())
        raise ModelInvalidError(
            f"{file} answers with {shapes}; known are one output, and boxes (n, 4), labels (n) and scores (n) of "
            "torchvision: export without outlines and key points"
        )
    return Lists((*boxes, *labels, *scores), classes.ids, detector.resize or "pad")


def _strides(shape: Shape, detector: DetectorFile) -> tuple[int, ...] | None:
    return strides_of(detector.height, detector.width, shape[1])


def _unknown(shape: Shape, count: int, detector: DetectorFile, file: Path) -> str:
    known = (
        f"(1, {4 + count}, N) and (1, N, 6) of Ultralytics, (1, N, {5 + count}) of YOLOX and "
        f"(1, N, {count} + 4 * bins) of NanoDet, N places of strides 8, 16, 32 or also 64"
    )
    hint = ""
    if len(shape) == 3 and shape[2] == 5 + count:
        of_places = strides_of(detector.height, detector.width, shape[1] // _ANCHORS)
        hint = ": YOLOv5's own export has other columns" if of_places or detector.is_ultralytics else ""
    return (
        f"{file} gives an output of shape {list(shape)} for {count} classes; known are {known}{hint}; "
        "are the class names right?"
    )
