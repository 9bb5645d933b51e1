"""YOLOX. Source: Ge et al., YOLOX: Exceeding YOLO Series in 2021, and the exporter of its repository."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from onnx import helper

from trunkline.training.imported.layouts.layout import (
    SCORES,
    Constants,
    Resize,
    Scaling,
    columns,
    corners,
    places,
)
from trunkline.training.imported.layouts.places import cells

_FAR = 4  # cells by which boxes lie off their place in the mean, where offsets are taken for pixels


@dataclass(frozen=True)
class Yolox:
    """(1, N, 5 + K), a row for each place: centre and sides, the probability of an object, then of each class.

    The centre is an offset from the place, in cells, and the sides are logarithms, of cells too; both are pixels
    where the file was exported with `--decode_in_inference` (`is_decoded`). A score is the product of the two
    probabilities.
    """

    output: str
    rows: int
    classes: int
    height: int
    width: int
    strides: tuple[int, ...]
    is_decoded: bool
    title: ClassVar[str] = "YOLOX"
    scaling: ClassVar[Scaling] = Scaling(bgr=True, std=(1.0,))  # since 0.1.1
    resize: ClassVar[Resize] = "pad"
    settings: ClassVar[Mapping[str, float]] = {
        "score_threshold": 0.3,
        "nms_iou": 0.5,
        "class_agnostic": True,
    }
    told: ClassVar[str] = (
        "every place of its grids, a score the product of the probabilities of an object and of the class; "
        "overlapping boxes are suppressed after it"
    )
    otherwise: ClassVar[str] = """\
YOLOX puts the picture at the top left, fills with gray 114 and resizes without antialiasing; here it is in the \
middle, the gray is 127, and what is made smaller is antialiased. The net takes BGR from 0 to 255; the order of \
channels is changed in the graph. Weights of YOLOX before 0.1.1 (`--legacy` there) take other values, and nothing in \
their file says so."""

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)

    def nodes(self) -> tuple[list[Any], Constants]:
        end = 5 + self.classes
        grid, stride = cells(self.height, self.width, self.strides)
        if self.is_decoded:
            sides = [helper.make_node("Mul", ["size", "half"], ["reach"])]
            constants: Mapping[str, np.ndarray] = {"half": np.array(0.5, np.float32)}
        else:
            sides = [
                helper.make_node("Add", ["offset", "grid"], ["cell"]),
                helper.make_node("Mul", ["cell", "stride"], ["centre"]),
                helper.make_node("Exp", ["size"], ["cells"]),
                helper.make_node("Mul", ["cells", "half_stride"], ["reach"]),
            ]
            constants = {"grid": grid, "stride": stride, "half_stride": stride / 2}
        nodes = [
            columns("found0", "centre" if self.is_decoded else "offset", 0, 2),
            columns("found0", "size", 2, 4),
            *sides,
            *corners("centre", "reach"),
            columns("found0", "object", 4, 5),
            columns("found0", "class", 5, end),
            helper.make_node("Mul", ["class", "object"], [SCORES]),
        ]
        return nodes, {**constants, **places(0, 2, 4, 5, end)}

    def decoded(self, raw: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        found = raw[self.output]
        centre, sides = found[..., :2], found[..., 2:4]
        if not self.is_decoded:
            grid, stride = cells(self.height, self.width, self.strides)
            centre, sides = (centre + grid) * stride, np.exp(sides) * stride
        boxes = np.concatenate([centre - sides / 2, centre + sides / 2], axis=2)
        return boxes, found[..., 4:5] * found[..., 5:]


def decoded_in_file(found: np.ndarray, height: int, width: int, strides: Sequence[int]) -> bool:
    """Whether centres (1, N, 5 + K) are pixels near their places already, and not offsets from these."""
    grid, stride = cells(height, width, strides)
    off = np.abs(found[..., :2] / stride - grid)  # in cells
    return bool(
        np.isfinite(off).all() and off.mean() < min(_FAR, np.abs(grid).mean() / 2) and found[..., 2:4].min() >= 0
    )
