"""Rows and columns of a picture change places: with both flips, any of the eight ways in which a square can lie."""

from typing import Any

from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, wrap


class Transposed(v2.Transform):  # type: ignore[misc]
    """uint8 (..., H, W) -> (..., W, H), masks alike; boxes (N, 4), x_min y_min x_max y_max, with them."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, BoundingBoxes):
            height, width = inpt.canvas_size
            return wrap(inpt[:, [1, 0, 3, 2]], like=inpt, canvas_size=(width, height))
        return wrap(inpt.transpose(-1, -2), like=inpt)
