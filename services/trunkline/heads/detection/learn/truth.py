"""What is known of the objects of a picture: in the frame of the model, moved with a view, and as a net takes it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image
from torchvision.tv_tensors import BoundingBoxes, Mask

from trunkline.core.preprocess import Frame

Annotation = Mapping[str, Any]
# Of an object that is cut off by the edge of a view, less than this share is nothing to learn from.
_LEAST_SEEN = 0.3
_LEAST_SIDE = 1.0  # pixels of the model input


def annotation_in(objects: Sequence[Any], frame: Frame, *, masks: bool) -> dict[str, Any]:
    """The objects (`ObjectTruth`) in pixels of the model input.

    boxes: BoundingBoxes float32 (N, 4), x_min y_min x_max y_max, not clipped, so that what a view cuts off is known
    later. labels: int64 (N,), crowd: bool (N,), of numpy: a transform takes a plain tensor for a picture. Where asked
    for, masks: Mask uint8 (N, H, W), and outlined: bool (N,), whether the outline is known.
    """
    size = (frame.input_height, frame.input_width)
    corners = [[each.box.x_min, each.box.y_min, each.box.x_max, each.box.y_max] for each in objects]
    offset = np.array([frame.x_offset, frame.y_offset] * 2)
    boxes = (np.array(corners).reshape(-1, 4) - offset) / np.array([frame.x_scale, frame.y_scale] * 2)
    found: dict[str, Any] = {
        "boxes": BoundingBoxes(
            torch.from_numpy(boxes).to(torch.float32), format="XYXY", canvas_size=size, clamping_mode=None
        ),
        "labels": np.array([each.label for each in objects], np.int64),
        "crowd": np.array([each.crowd for each in objects], np.bool_),
    }
    if masks:
        planes = np.zeros((len(objects), *size), np.uint8)
        for plane, each in zip(planes, objects, strict=True):
            if each.mask is not None:
                plane[:] = _mask_in(each.mask.load(), frame)
        found["masks"] = Mask(torch.from_numpy(planes))
        found["outlined"] = np.array([each.mask is not None for each in objects], np.bool_)
    return found


def target(annotation: Annotation) -> dict[str, Tensor]:
    """An annotation as the net takes it; background is label 0 there.

    boxes: float32 (N, 4), clipped to the view. labels: int64 (N,), from 1 on. ignored: float32 (M, 4), where crowds
    are and objects of which the view shows too little: neither to be found nor to be background. masks, and outlined,
    bool (N,), as they are.
    """
    boxes = annotation["boxes"]
    assert isinstance(boxes, BoundingBoxes)
    whole = boxes.as_subclass(Tensor)
    seen = clip_boxes_to_image(whole, boxes.canvas_size)  # (N, 4)
    sides = seen[:, 2:] - seen[:, :2]
    there = (sides >= _LEAST_SIDE).all(dim=1)  # (N,)
    share = sides.prod(dim=1) / (whole[:, 2:] - whole[:, :2]).prod(dim=1)
    ignored = there & (torch.from_numpy(annotation["crowd"]) | (share < _LEAST_SEEN))
    kept = there & ~ignored
    found = {
        "boxes": seen[kept],
        "labels": torch.from_numpy(annotation["labels"])[kept] + 1,
        "ignored": seen[ignored],
    }
    if "masks" in annotation:
        found["masks"] = annotation["masks"].as_subclass(Tensor)[kept]
        found["outlined"] = torch.from_numpy(annotation["outlined"])[kept]
    return found


def sides_in(objects: Sequence[Any], frame: Frame) -> np.ndarray:
    """Widths and heights in pixels of the model input, float64 (N, 2), of the objects that are no crowds."""
    sides = [
        ((each.box.x_max - each.box.x_min) / frame.x_scale, (each.box.y_max - each.box.y_min) / frame.y_scale)
        for each in objects
        if not each.crowd
    ]
    return np.array(sides, np.float64).reshape(-1, 2)


def _mask_in(mask: np.ndarray, frame: Frame) -> np.ndarray:
    """uint8 (H, W) of the caller's picture -> uint8 (h, w) of the model input: nearest, 0 outside."""
    y = np.floor((np.arange(frame.input_height) + 0.5) * frame.y_scale + frame.y_offset).astype(np.int64)
    x = np.floor((np.arange(frame.input_width) + 0.5) * frame.x_scale + frame.x_offset).astype(np.int64)
    inside = ((y >= 0) & (y < mask.shape[0]))[:, None] & ((x >= 0) & (x < mask.shape[1]))  # (h, w)
    seen = mask[y.clip(0, mask.shape[0] - 1)[:, None], x.clip(0, mask.shape[1] - 1)]
    return np.where(inside, seen, np.uint8(0))
