"""What is known of the points of a picture: in the frame of the model, moved with a view, as the loss takes it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.tv_tensors import BoundingBoxes

from trunkline.core.preprocess import Frame

Annotation = Mapping[str, Any]
# Behind the points, three that every picture has: what became of them says whether a view is mirrored.
_CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
_AROUND = 0.5  # pixels: transforms move boxes as they should, by their outer corners, but not key points


def annotation_in(truth: Any, points: int, frame: Frame) -> dict[str, Any]:
    """The points (`PointTruth`) in pixels of the model input.

    boxes: BoundingBoxes float32 (K + 3, 4) around each. known, seen: bool (K,), of numpy: a transform takes a plain
    tensor for a picture.
    """
    height, width = frame.input_height, frame.input_width
    places, known, seen = np.zeros((points, 2)), np.zeros(points, np.bool_), np.zeros(points, np.bool_)
    for each in truth.places:
        places[each.label] = (each.x - frame.x_offset) / frame.x_scale, (each.y - frame.y_offset) / frame.y_scale
        known[each.label], seen[each.label] = True, each.seen
    middles = np.concatenate([places, np.array(_CORNERS) * (width, height)])  # (K + 3, 2)
    boxes = torch.from_numpy(np.concatenate([middles - _AROUND, middles + _AROUND], axis=1)).to(torch.float32)
    return {
        "boxes": BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width), clamping_mode=None),
        "known": known,
        "seen": seen,
    }


def target(annotation: Annotation, mirrored: np.ndarray) -> np.ndarray:
    """An annotation as float32 (K, 4): x and y as shares of the view, whether known and in the view, whether seen.

    mirrored: int64 (K,), which point each is in a mirrored picture.
    """
    boxes = annotation["boxes"]
    height, width = boxes.canvas_size
    corners = boxes.as_subclass(Tensor).numpy().astype(np.float64)
    middles = (corners[:, :2] + corners[:, 2:]) / 2  # (K + 3, 2)
    points, (origin, right, bottom) = middles[:-3], middles[-3:]
    across, down = right - origin, bottom - origin
    is_mirrored = across[0] * down[1] - across[1] * down[0] < 0
    order = mirrored if is_mirrored else np.arange(len(points))
    shares = points[order] / (width, height)
    inside = ((shares >= 0) & (shares <= 1)).all(axis=1)
    known = annotation["known"][order] & inside
    return np.column_stack([shares, known, annotation["seen"][order]]).astype(np.float32)


def mirror_order(names: Sequence[str], flips: Sequence[tuple[str, str]]) -> np.ndarray:
    """int64 (K,): which point each is in a mirrored picture."""
    index = {name: at for at, name in enumerate(names)}
    order = np.arange(len(names))
    for one, other in flips:
        order[index[one]], order[index[other]] = index[other], index[one]
    return order
