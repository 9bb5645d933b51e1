"""What a model of points learns from, made of objects with points: each picture as a whole, or cut out by object.

Where no picture has several objects, each is taken as it is. Otherwise each object is a picture of its own, cut out a
quarter larger than its box, as is usual for models of one object.
Source: Xiao, Wu, Wei, Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018, section 4 (boxes made
larger by a quarter).
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.images import EncodedImage
from trunkline.core.results import Box
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.points import Place, PointScheme, PointTruth
from trunkline.training.data.remarks import Kind

_LARGER: Final = 1.25
_Read = Callable[[], bytes]


def with_points(dataset: Dataset, names: Sequence[str], scheme: PointScheme) -> Dataset:
    """Data of objects with points -> of points, whose names are the classes. Pictures without any are left out.

    Raises DataInvalidError where no object has a point.
    """
    remarks = dataset.remarks
    found = [(sample, _with_some(sample)) for sample in dataset.samples]
    if not any(objects for _, objects in found) and not remarks.left_out:
        raise DataInvalidError.at(dataset.root, "no object has a point that is labelled")
    several = any(len(objects) > 1 for _, objects in found)
    samples = []
    for sample, objects in found:
        if objects:
            made = _cut_out(sample, objects, scheme) if several else [_whole(sample, objects[0], scheme)]
            samples += list(made)
        elif not several:  # otherwise the objects are what is learned from
            remarks.leave_out("picture", Kind.UNLABELLED, sample.name, "it has no object with a point")
    return replace(dataset, classes=tuple(names), target_names=(), samples=tuple(samples))


def _with_some(sample: Sample) -> list[ObjectTruth]:
    return [each for each in sample.objects or () if each.points and not each.crowd]


def _whole(sample: Sample, found: ObjectTruth, scheme: PointScheme) -> Sample:
    return of_places(sample, found.points or (), found.box, scheme)


def of_places(sample: Sample, places: Sequence[Place], box: Box, scheme: PointScheme) -> Sample:
    """The same picture with these points, and nothing else known of it."""
    labels = tuple(sorted(each.label for each in places))
    truth = PointTruth(tuple(places), box, scheme)
    return replace(sample, label=None, labels=labels, targets=(), objects=None, mask=None, points=truth)


def _cut_out(sample: Sample, objects: Sequence[ObjectTruth], scheme: PointScheme) -> Iterator[Sample]:
    assert sample.size is not None
    for found in objects:
        left, top, right, bottom = _larger(found.box, sample.size)
        read = partial(read_part, sample.read, (left, top, right, bottom), sample.size)
        part = replace(
            sample,
            name=f"{sample.name}#{found.name}",
            read=read,
            size=(right - left, bottom - top),
            part_of=sample.name,
        )
        places = [replace(each, x=each.x - left, y=each.y - top) for each in found.points or ()]
        box = Box(found.box.x_min - left, found.box.y_min - top, found.box.x_max - left, found.box.y_max - top)
        yield of_places(part, places, box, scheme)


def read_part(read: _Read, part: tuple[int, int, int, int], size: tuple[int, int]) -> bytes:
    """A part of an upright picture of this size as PNG, without loss. Raises OSError as `read` does.

    A picture that cannot be decoded, or of another size, is given as it is: whoever looks at it says what is wrong.
    """
    data = read()
    try:
        encoded = EncodedImage(data)
        if (encoded.width, encoded.height) != size:
            return data
        picture = encoded.decode().crop(part)
    except InvalidRequestError:
        return data
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _larger(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels inside of the picture."""
    beside = (_LARGER - 1) / 2 * (box.x_max - box.x_min), (_LARGER - 1) / 2 * (box.y_max - box.y_min)
    left, top = max(0, math.floor(box.x_min - beside[0])), max(0, math.floor(box.y_min - beside[1]))
    return left, top, min(size[0], math.ceil(box.x_max + beside[0])), min(size[1], math.ceil(box.y_max + beside[1]))
