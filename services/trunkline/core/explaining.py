"""Which places of a picture an answer comes from: the values."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import Frame, Pixels

Method = Literal["activation", "occlusion"]
MAP = ".map"  # NAME.map is the map whose mean over height and width the vector NAME is
_MOST_CELLS = 64
_SHOWN = 255
DEFAULT_CELLS = 7


@dataclass(frozen=True)
class ExplainQuestion:
    """What to explain: `target` of the answer of a head about a picture.

    method: None for activation where the head allows it, else occlusion. cells: of the map, each way, for occlusion.
    other: for a head that embeds, the picture that this one is compared with.
    """

    image: bytes
    head: str
    target: str = ""
    method: Method | None = None
    cells: int = DEFAULT_CELLS
    other: bytes | None = None


@dataclass(frozen=True)
class PixelMask:
    """What is hidden of the pixels of a model: uint8 (rows, columns) row by row, 255 shows and 0 hides."""

    rows: int
    columns: int
    shown: bytes

    def __post_init__(self) -> None:
        """Raises InvalidRequestError where the bytes are not as many as the cells."""
        if not (1 <= self.rows <= _MOST_CELLS and 1 <= self.columns <= _MOST_CELLS):
            raise InvalidRequestError(f"a mask has 1 to {_MOST_CELLS} rows and columns")
        if len(self.shown) != self.rows * self.columns:
            raise InvalidRequestError(f"a mask of {self.rows}x{self.columns} cells has {len(self.shown)} bytes")

    @classmethod
    def hiding(cls, rows: int, columns: int, cell: int) -> "PixelMask":
        """All shown but one cell, counted row by row."""
        shown = bytearray([_SHOWN]) * (rows * columns)
        shown[cell] = 0
        return cls(rows, columns, bytes(shown))

    def applied(self, pixels: Pixels) -> Pixels:
        """uint8 (1, H, W, C) -> the same shape: hidden pixels have the mean colour of all."""
        _, height, width, _ = pixels.shape
        weights = self._smooth(height, width)[..., None]  # (H, W, 1)
        mean = pixels.mean(axis=(0, 1, 2))  # (C,)
        return np.asarray(np.rint(mean + weights * (pixels - mean)).astype(np.uint8))  # (1, H, W, C)

    def _smooth(self, height: int, width: int) -> np.ndarray:
        """float64 (height, width), 0 to 1: linear between the centres of the cells."""
        grid = np.frombuffer(self.shown, np.uint8).reshape(self.rows, self.columns) / _SHOWN
        down, across = _weights(self.rows, height), _weights(self.columns, width)
        return np.asarray(down @ grid @ across.T)


def _weights(cells: int, length: int) -> np.ndarray:
    """float64 (length, cells): what each cell adds to each pixel."""
    return _linear(np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1), cells)


@dataclass(frozen=True, eq=False)
class HeatMap:
    """What each cell adds to an answer, and where the cells lie in the caller's upright picture, in pixels.

    values: float32 (rows, columns), above 0 for the answer, below 0 against it.
    """

    values: np.ndarray
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, values: np.ndarray, frame: Frame) -> "HeatMap":
        """values: (rows, columns), over all of the input of a model."""
        return cls(
            values.astype(np.float32),
            frame.x_offset,
            frame.y_offset,
            frame.x_offset + frame.input_width * frame.x_scale,
            frame.y_offset + frame.input_height * frame.y_scale,
        )

    def over(self, width: int, height: int) -> np.ndarray:
        """float32 (height, width) over a picture of this size in pixels: linear between cells, 0 outside of them."""
        rows, columns = self.values.shape
        x, inside_x = _places(self.left, self.right, columns, width)
        y, inside_y = _places(self.top, self.bottom, rows, height)
        found = _linear(y, rows) @ self.values @ _linear(x, columns).T  # (height, width)
        return np.asarray(found * (inside_y[:, None] & inside_x[None, :]), np.float32)


def _places(low: float, high: float, cells: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel its place in cells, from the centre of the first, and whether it lies within them: (length,)."""
    share = (np.arange(length) + 0.5 - low) / (high - low)
    return np.clip(share * cells - 0.5, 0, cells - 1), (share >= 0) & (share <= 1)


def _linear(at: np.ndarray, cells: int) -> np.ndarray:
    """Places in cells, float64 (length,) -> what each cell adds there, (length, cells)."""
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells))))


@dataclass(frozen=True, eq=False)
class PlacesAnswer:
    """What each place of a map adds to what a head says of its mean.

    values: float32 (h, w). strength: what it says. adds_up: whether the values and what the head says of a vector of
    zeros add up to that.
    """

    version: str
    target: str
    strength: float
    values: np.ndarray
    adds_up: bool


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which places of a picture an answer of a head comes from."""

    head: str
    version: str
    target: str
    strength: float
    method: Method
    adds_up: bool
    map: HeatMap
    image_size: tuple[int, int]
    passes: int
    total_ms: float
