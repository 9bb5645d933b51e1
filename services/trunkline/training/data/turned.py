"""Digits turned by known angles: what an angle is learned from."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from PIL import Image

from trunkline.training.data.dataset import Dataset, Sample

ANGLE: Final = "angle"
LARGEST: Final = 45.0  # degrees, either way
_COPIES: Final = {"train": 4}  # of each digit, by split; one in the others


def turned(digits: Dataset) -> Dataset:
    """Each digit turned counter-clockwise by -45 to 45 degrees: uniform, and always the same for its name.

    Digits for training are there four times, by four angles.
    """
    samples = tuple(copy for sample in digits.samples for copy in _copies(sample))
    return replace(digits, classes=(), target_names=(ANGLE,), samples=samples)


def _copies(sample: Sample) -> Iterator[Sample]:
    for number in range(_COPIES.get(sample.split, 1)):
        name = f"{sample.name} turned {number}"
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        angle = LARGEST * (2 * share - 1)
        read = partial(_turn, sample.read, angle)
        yield Sample(name, sample.split, None, (angle,), read)


def _turn(read: Callable[[], bytes], angle: float) -> bytes:
    with Image.open(io.BytesIO(read())) as picture:
        upright = picture.rotate(angle, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue()
