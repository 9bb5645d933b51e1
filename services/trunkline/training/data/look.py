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
from trunkline.training.data.remarks import Kind

_UPRIGHT = 1  # EXIF orientation


@dataclass
class Look:
    """What one picture showed: its SHA-256, "" where it could not be read, and what is wrong with it.

    fault: for which the picture is left out, "" where there is none. lost: names of objects that are left out, and
    why. read: what is read otherwise than it stands there. labels: of the classes that it has, several where it has a
    mask or objects. warnings: what is odd and does no harm.
    """

    digest: str = ""
    fault: str = ""
    kind: Kind = Kind.PICTURE_BROKEN
    lost: list[tuple[str, str]] = field(default_factory=list)
    read: list[tuple[Kind, str]] = field(default_factory=list)
    labels: tuple[int, ...] = ()
    warnings: list[str] = field(default_factory=list)


def look_at(sample: Sample) -> Look:
    """Decode the picture and all that goes with it; what is bad raises nothing."""
    look = Look(labels=_known(sample))
    try:
        data = sample.read()
    except OSError as error:
        look.fault = f"cannot be read: {reason_of(error)}"
        return look
    look.digest = hashlib.sha256(data).hexdigest()
    try:
        picture = EncodedImage(data)
        picture.decode()
        if picture.completed:
            look.read.append((Kind.END_MARKER, "the JPEG has no end marker; its pixels are all there and were read"))
        if sample.size is None or _fits(sample.size, picture, data, look):
            _look_at_pixels(sample, picture, look)
    except (InvalidRequestError, DataInvalidError) as error:
        look.fault = error.message
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
        look.fault, look.kind = reason, Kind.OTHER_SIZE
    elif orientation != _UPRIGHT:
        look.warnings.append(f"EXIF orientation {orientation} turns it; its objects must be of the upright picture")
    return declared == size


def _known(sample: Sample) -> tuple[int, ...]:
    """The labels that are known without a look."""
    if sample.labels is not None:
        return sample.labels
    if sample.objects is not None:
        return tuple(sorted({each.label for each in sample.objects}))
    return () if sample.label is None else (sample.label,)


def _look_at_pixels(sample: Sample, picture: EncodedImage, look: Look) -> None:
    """Mask and outlines."""
    if sample.mask is not None:
        look.kind = Kind.MASK
        size = (picture.width, picture.height)
        found = np.unique(sample.mask.load(size, lambda text: look.read.append((Kind.MASK_FORM, text))))
        if sample.label is None:
            look.labels = tuple(int(label) for label in found if label != IGNORED)
    for each in sample.objects or ():
        if each.mask is None:
            continue
        try:
            if not each.mask.load().any():
                look.warnings.append(f"{each.name}: its outline is so small that it holds no pixel")
        except DataInvalidError as error:
            look.lost.append((each.name, error.message))
    if sample.objects is not None and look.lost:
        lost = {name for name, _ in look.lost}
        look.labels = tuple(sorted({each.label for each in sample.objects if each.name not in lost}))


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
