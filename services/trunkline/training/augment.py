"""Augmentation: other views of a picture of which the same is true, by torchvision's transforms."""

import threading
from typing import Any

import numpy as np
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.tv_tensors import Image, Mask

from trunkline.core.train_choices import Augmentation
from trunkline.training.bent import DEGREES, MOVED, SCALED
from trunkline.training.transposed import Transposed

VERSION = 4  # of what the kinds mean: views of another one are not used again
_GROUND = 114  # gray around the picture
_POSE_DEGREES, _POSE_MOVED, _POSE_SCALED = 20.0, 0.06, (0.8, 1.2)  # of turning; of a side; times
# Times the sides that half of the pictures are made larger by, with ground around, before a part is cut out.
_FARTHER = {"boxes": (1.0, 1.8), "pasted": (1.0, 1.8), "overhead": (1.0, 1.25)}
# torchvision draws from torch's one random generator.
_ONE_AT_A_TIME = threading.Lock()


def transform(kind: Augmentation, height: int, width: int, share: float = 1.0) -> v2.Transform:
    """uint8 (..., C, H, W) -> uint8 (..., C, height, width).

    mirror: left and right change places. flips: that, up and down too, and other light; positions in the picture
    change, sizes and numbers of things do not. photo: for photographs of which the class is asked: crops, mirror,
    other light and colour. scene: the same for photographs of which places are asked, where shapes must stay as
    they are: crops of the sides' own ratio, enlarged up to twice; `share` is what a crop takes of the picture where
    nothing is enlarged. boxes: the same where objects are to be found, which may be nearer or farther away: some
    pictures are made smaller, on a plain ground. overhead: the same for pictures that have no top and bottom and one
    distance, such as those of a microscope: up and down may change places, in squares rows and columns too, and
    sizes, which help to tell objects apart, change by a quarter at most, to both sides. pasted: boxes, of pictures
    with objects of other ones laid over them too (`data/pasted.py`).
    moved: where points of one object are asked for that fills the picture: a little turned, moved and scaled, other
    light. posed: that, and half of them mirrored.
    turns: for drawings on white: a little turned, moved, scaled and sheared; from scratch,
    similarity makes each quarter turn a class of its own too.
    """
    light = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)  # with hue it takes five times as long
    resized = v2.Resize((height, width), InterpolationMode.BICUBIC, antialias=True)
    if kind in ("mirror", "flips"):
        further = [v2.RandomVerticalFlip(), light] if kind == "flips" else []
        return v2.Compose([v2.RandomHorizontalFlip(1.0 if kind == "mirror" else 0.5), *further, resized])
    if kind == "photo":
        crop = v2.RandomResizedCrop(
            (height, width), scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), interpolation=InterpolationMode.BICUBIC
        )
        return v2.Compose([crop, v2.RandomHorizontalFlip(), light])
    if kind in ("scene", "boxes", "overhead", "pasted"):
        ratio = (0.9 * width / height, 1.1 * width / height)
        area = {"scene": (share / 4, min(1.0, 1.2 * share)), "overhead": (0.64, 1.0)}.get(kind, (0.3, 1.0))
        farther = [v2.RandomZoomOut({Image: _GROUND, Mask: 0}, _FARTHER[kind])] if kind in _FARTHER else []
        crop = v2.RandomResizedCrop((height, width), area, ratio, InterpolationMode.BICUBIC)
        return v2.Compose([*farther, crop, v2.RandomHorizontalFlip(), *_turned(kind, height == width), light])
    if kind in ("moved", "posed"):
        return v2.Compose([*([v2.RandomHorizontalFlip()] if kind == "posed" else []), _moved(), resized, light])
    if kind == "turns":
        affine = v2.RandomAffine(
            DEGREES, (MOVED, MOVED), SCALED, DEGREES, interpolation=InterpolationMode.BILINEAR, fill=255
        )
        return v2.Compose([affine, resized])
    return resized


def _moved() -> v2.Transform:
    return v2.RandomAffine(
        _POSE_DEGREES,
        (_POSE_MOVED, _POSE_MOVED),
        _POSE_SCALED,
        interpolation=InterpolationMode.BILINEAR,
        fill={Image: _GROUND},
    )


def _turned(kind: Augmentation, square: bool) -> list[v2.Transform]:
    if kind != "overhead":
        return []
    return [v2.RandomVerticalFlip(), *([v2.RandomApply([Transposed()], 0.5)] if square else [])]


def view_of(pixels: np.ndarray, kind: Augmentation, height: int, width: int, seed: int) -> np.ndarray:
    """uint8 (1, H, W, C) -> uint8 (1, height, width, C): the same for the same seed, from any thread."""
    return view_with(pixels, None, kind, height, width, seed)[0]


def view_with(
    pixels: np.ndarray,
    annotation: Any,
    kind: Augmentation,
    height: int,
    width: int,
    seed: int,
    share: float = 1.0,
) -> tuple[np.ndarray, Any]:
    """The same, with what is known of the pixels moved along.

    annotation: a tv_tensor in the frame of the pixels, such as Mask uint8 (1, H, W), or a dict of several, or None.
    """
    image = Image(torch.from_numpy(pixels[0].copy()).permute(2, 0, 1))  # (C, H, W)
    seen, moved = _seen((image, annotation), transform(kind, height, width, share), seed)
    return np.ascontiguousarray(seen.permute(1, 2, 0).numpy())[None], moved


def moved_with(annotation: Any, kind: Augmentation, height: int, width: int, seed: int, share: float = 1.0) -> Any:
    """What `view_with` says of the pixels, without them."""
    return _seen(annotation, transform(kind, height, width, share), seed)


def _seen(what: Any, transformed: v2.Transform, seed: int) -> Any:
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformed(what)
