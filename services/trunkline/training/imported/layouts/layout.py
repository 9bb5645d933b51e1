"""What a layout of outputs says of its detectors: what goes in, and how boxes and scores come out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from onnx import helper

BOXES, SCORES = "boxes", "scores"
Resize = Literal["pad", "squash"]
Constants = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Scaling:
    """What a net takes: (value - mean) / std of values 0 to 255, RGB or, with `bgr`, BGR.

    mean: of each channel in the order of the net; () for none.
    """

    bgr: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = (255.0,)

    def planes(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, C) -> float32 (n, C, H, W) as the net takes it."""
        planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32)
        if self.bgr:
            planes = planes[:, ::-1]
        if self.mean:
            planes = planes - column(self.mean)
        return np.ascontiguousarray(planes / column(self.std))


class Layout(Protocol):
    """One way in which the outputs of a file tell of boxes.

    title: whose it is. scaling, resize: what its nets are trained with. settings: those of the head.
    outputs: of the file, in the order in which the nodes take them, as `found0`, `found1` and so on.
    rows: boxes that it gives for each picture; None where it is another number each time.
    told: how it tells of them, for people. otherwise: what is done otherwise than there, for people.
    """

    @property
    def title(self) -> str: ...
    @property
    def scaling(self) -> Scaling: ...
    @property
    def resize(self) -> Resize: ...
    @property
    def settings(self) -> Mapping[str, float]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def told(self) -> str: ...
    @property
    def otherwise(self) -> str: ...

    def nodes(self) -> tuple[list[Any], Constants]:
        """From the outputs of the file to `boxes` (1, N, 4), corners in pixels, and `scores` (1, N, K)."""
        ...

    def decoded(self, raw: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The same by numpy. Raises ModelInvalidError for what none can be."""
        ...


def column(values: tuple[float, ...]) -> np.ndarray:
    """float32 (1, n, 1, 1)"""
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


def columns(source: str, target: str, start: int, end: int) -> Any:
    """A node that takes some columns of (1, N, all); `places` has the constants that it needs."""
    return helper.make_node("Slice", [source, f"at_{start}", f"at_{end}", "last_axis"], [target])


def places(*numbers: int) -> dict[str, np.ndarray]:
    """The constants of `columns` with these starts and ends."""
    return {**{f"at_{each}": np.array([each], np.int64) for each in numbers}, "last_axis": np.array([2], np.int64)}


def corners(centre: str, half: str) -> list[Any]:
    """Nodes from centres and half sides, (1, N, 2) each, to `boxes`."""
    return [
        helper.make_node("Sub", [centre, half], ["low"]),
        helper.make_node("Add", [centre, half], ["high"]),
        helper.make_node("Concat", ["low", "high"], [BOXES], axis=2),
    ]
