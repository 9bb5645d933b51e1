"""A look at one sample: does its picture decode, and do mask and objects fit it?"""

import hashlib
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.images import EncodedImage, orientation_of
from trunkline.training.data.dataset import Sample
from trunkline.training.data.masks import IGNORED
from trunkline.training.data.reading import reason_of

_UPRIGHT = 1  # EXIF orientation


@dataclass
class Look:
    """What one picture showed: its SHA-256, "" where it could not be read, and what is wrong with it.

    labels: of the classes that it has, as far as they are known where it could not be read; several where it has a
    mask or objects. remarks: what is odd and does no harm.
    """

    digest: str = ""
    faults: list[str] = field(default_factory=list)
    labels: tuple[int, ...] = ()
    remarks: list[str] = field(default_factory=list)


def look_at(sample: Sample) -> Look:
    """Decode the picture and all that goes with it; what is bad raises nothing."""
    look = Look(labels=_known(sample))
    try:
        data = sample.read()
    except OSError as error:
        look.faults.append(f"cannot be read: {reason_of(error)}")
        return look
    look.digest = hashlib.sha256(data).hexdigest()
    try:
        picture = EncodedImage(data)
        picture.decode()
        if picture.completed:
            look.remarks.append("the JPEG has no end marker; its pixels are all there and were read")
        if sample.size is None or _fits(sample.size, picture, data, look):
            _look_at_pixels(sample, picture, look)
    except (InvalidRequestError, DataInvalidError) as error:
        look.faults.append(error.message)
    return look


def _fits(declared: tuple[int, int], picture: EncodedImage, data: bytes, look: Look) -> bool:
    """Whether the picture has the size that the annotations declare."""
    with Image.open(io.BytesIO(data)) as opened:
        orientation = orientation_of(opened)
    size = (picture.width, picture.height)
    if declared != size:
        reason = f"the annotations are of a picture of another size, this one has {_text(size)} pixels"
        if orientation != _UPRIGHT and declared == size[::-1]:
            reason += f" once EXIF orientation {orientation} is applied: annotate the upright picture"
        look.faults.append(reason)
    elif orientation != _UPRIGHT:
        look.remarks.append(f"EXIF orientation {orientation} turns it; its objects must be of the upright picture")
    return declared == size


def _known(sample: Sample) -> tuple[int, ...]:
    """The labels that are known without a look."""
    if sample.objects is not None:
        return tuple(sorted({each.label for each in sample.objects}))
    return () if sample.label is None else (sample.label,)


def _look_at_pixels(sample: Sample, picture: EncodedImage, look: Look) -> None:
    """Mask and outlines."""
    if sample.mask is not None:
        found = np.unique(sample.mask.load((picture.width, picture.height)))
        look.labels = tuple(int(label) for label in found if label != IGNORED)
    for each in sample.objects or ():
        if each.mask is None:
            continue
        try:
            if not each.mask.load().any():
                look.remarks.append(f"{each.name}: its outline is so small that it holds no pixel")
        except DataInvalidError as error:
            look.faults.append(f"{each.name}: {error.message}")


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
