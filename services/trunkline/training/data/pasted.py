"""Pictures with objects of other pictures laid over them: more pictures to learn from, and more crowded ones.

Source: Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, 2021,
section 3.
"""

import bisect
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.images import decode_image
from trunkline.core.masks import encode_mask
from trunkline.core.results import Box
from trunkline.training.data.dataset import Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import RunLengths, extent

_MADE, _MOST_OF_ONE = 1000, 9  # pictures in all, about, as they are held in memory; and with the same background
_MOST = 3  # objects laid over one
_SCALES = (0.5, 1.5)
_BEYOND = 0.25  # share of an object that may lie outside of the picture
_LEAST_SIDE = 8  # pixels
_LEAST_SEEN = 0.3  # share of an object that is still one; less is to be ignored
_SOFT = 0.7  # pixels over which an edge fades, as edges in photographs do
_QUALITY = 92


@dataclass(frozen=True)
class _Scene:
    """pixels: uint8 (H, W, 3). masks: bool (H, W) of each object."""

    pixels: np.ndarray
    objects: tuple[ObjectTruth, ...]
    masks: list[np.ndarray]


def pasted(samples: Sequence[Sample], seed: int, progress: Callable[[int, int], None]) -> list[Sample]:
    """New pictures, JPEG in memory, the same for the same seed: up to nine for each sample, about a thousand in all.

    progress: samples done, of all. Of an object that is covered, what can be seen is its truth; where that is
    little, it is to be ignored. Raises InvalidRequestError for data without outlines or of one picture,
    DataInvalidError for a picture that is broken.
    """
    if len(samples) < 2 or any(_has_no_outline(sample) for sample in samples):
        raise InvalidRequestError(
            "augmentation 'pasted' lays objects over other pictures: it needs the outline of every object, and two "
            "pictures; without them: boxes, overhead"
        )
    donors = [index for index, sample in enumerate(samples) if any(not each.crowd for each in sample.objects or ())]
    each_gets = max(1, min(_MOST_OF_ONE, _MADE // len(samples)))
    scene = functools.lru_cache(maxsize=64)(lambda index: _scene_of(samples[index]))
    made: list[Sample] = []
    for index in range(len(samples)):
        made += [_composed(samples, scene, donors, index, number, seed) for number in range(each_gets)]
        progress(index + 1, len(samples))
    return made


def _has_no_outline(sample: Sample) -> bool:
    return sample.objects is None or any(each.mask is None and not each.crowd for each in sample.objects)


def _scene_of(sample: Sample) -> _Scene:
    try:
        pixels = np.asarray(decode_image(sample.encoded()))
    except InvalidRequestError as error:
        raise DataInvalidError.at(sample.name, error.message) from error
    objects = sample.objects or ()
    masks = [
        each.mask.load().astype(bool) if each.mask is not None else _filled(each.box, pixels.shape[:2])
        for each in objects
    ]
    return _Scene(pixels, objects, masks)


def _filled(box: Box, size: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[int(box.y_min) : int(np.ceil(box.y_max)), int(box.x_min) : int(np.ceil(box.x_max))] = True
    return mask


def _composed(
    samples: Sequence[Sample],
    scene: Callable[[int], _Scene],
    donors: Sequence[int],
    index: int,
    number: int,
    seed: int,
) -> Sample:
    rng = np.random.default_rng([seed, index, number])
    other = _another(donors, index, rng)
    ground, donor = scene(index), scene(other)
    pixels, objects, masks = ground.pixels.astype(np.float32), list(ground.objects), list(ground.masks)
    areas = [mask.sum() for mask in masks]
    whole = [place for place, each in enumerate(donor.objects) if not each.crowd and donor.masks[place].any()]
    chosen = rng.permutation(whole)[: int(rng.integers(1, _MOST + 1))]
    for place in chosen:
        alpha, colours = _moved(donor.pixels, donor.masks[place], pixels.shape[:2], rng)  # (H, W), (H, W, 3)
        pixels += alpha[..., None] * (colours - pixels)
        covers = alpha > 0.5
        masks = [mask & ~covers for mask in masks] + [covers]
        objects.append(donor.objects[place])
        areas.append(covers.sum())
    truths = [_seen(*each) for each in zip(objects, masks, areas, strict=True)]
    name = f"{samples[index].name} + {samples[other].name}, {number}"
    written = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(written, "JPEG", quality=_QUALITY)
    return replace(
        samples[index],
        name=name,
        read=functools.partial(bytes, written.getvalue()),
        objects=tuple(each for each in truths if each is not None),
        size=(pixels.shape[1], pixels.shape[0]),
    )


def _another(donors: Sequence[int], index: int, rng: np.random.Generator) -> int:
    """One of the donors, which are in order; this picture itself only where there is no other."""
    after = bisect.bisect_right(donors, index)
    others = len(donors) - (after > 0 and donors[after - 1] == index)
    return donors[(after + int(rng.integers(others))) % len(donors)] if others else index


def _moved(
    pixels: np.ndarray, mask: np.ndarray, size: tuple[int, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An object somewhere in a picture of this size, larger or smaller, at times mirrored: opacity and colours."""
    found = extent(mask)
    assert found is not None
    part = np.s_[found[1] : found[3], found[0] : found[2]]
    colours, opacity = Image.fromarray(pixels[part]), Image.fromarray(255 * mask[part].astype(np.uint8))
    if rng.random() < 0.5:
        colours, opacity = (each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (colours, opacity))
    scale = min(rng.uniform(*_SCALES), size[1] / colours.width, size[0] / colours.height)
    width, height = (max(_LEAST_SIDE, round(scale * side)) for side in colours.size)
    left, top = (
        round(rng.uniform(-_BEYOND * side, whole - (1 - _BEYOND) * side))
        for side, whole in ((width, size[1]), (height, size[0]))
    )
    canvas, faded = (Image.new(mode, (size[1], size[0])) for mode in ("RGB", "L"))
    canvas.paste(colours.resize((width, height), Image.Resampling.BICUBIC), (left, top))
    faded.paste(opacity.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    alpha = np.asarray(faded.filter(ImageFilter.GaussianBlur(_SOFT)), np.float32) / 255
    return alpha, np.asarray(canvas, np.float32)


def _seen(truth: ObjectTruth, mask: np.ndarray, area: int) -> ObjectTruth | None:
    """What is known of an object of which `mask` can be seen, of `area` pixels; None for nothing."""
    found = extent(mask)
    if found is None:
        return None
    box = Box(*map(float, found))
    runs = encode_mask(mask)
    outline = RunLengths(runs.width, runs.height, runs.counts)
    return replace(truth, box=box, mask=outline, crowd=truth.crowd or bool(mask.sum() < _LEAST_SEEN * area))
