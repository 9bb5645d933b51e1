"""From an open picture to the pixels that a model takes: the one implementation, for training and serving.

Scaling never depends on the data, and mean and standard deviation live inside the ONNX graph, so what comes
out here is uint8.
"""

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trunkline.core.errors import InvalidRequestError
from trunkline.core.images import Area, EncodedImage
from trunkline.core.resize import IS_SIMD, resize

STRIDE = 32  # the largest stride of a backbone: sizes are multiples of it, so that every feature fits exactly
# What pixels depend on beside the picture and the spec, for keys of what is stored: it changes no head's spec.
PIXELS_VERSION = "2-simd" if IS_SIMD else "1"
# A pass takes up to 180 bytes for each pixel, so a size is bounded by what it costs, not by its sides alone.
MOST_PIXELS = 2048 * 1024
_PAD_VALUE = 127
# A JPEG is decoded at a reduced scale of at least this many times the size it is then resized to: the resize
# filter keeps its antialiasing, and top-1 answers stay what they are with a full decode.
_DRAFT_MARGIN = 2

Pixels = npt.NDArray[np.uint8]
Side = Annotated[int, Field(ge=STRIDE, le=4096, multiple_of=STRIDE)]


class PreprocessSpec(BaseModel):
    """Resize rule, size and colour order: a value, stored with every backbone and head.

    resize: "crop" keeps the aspect, fills the size and cuts what stands out, after taking `crop_share` of the
    centre (224 of 256 is 0.875); "squash" stretches to the size; "pad" keeps the aspect and fills with gray.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: Literal["crop", "squash", "pad"] = "crop"
    width: Side = 224
    height: Side = 224
    crop_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    colour: Literal["RGB", "L"] = "RGB"

    @model_validator(mode="after")
    def _crop_share_belongs_to_crop(self) -> Self:
        if self.resize != "crop" and self.crop_share != 1.0:
            raise ValueError(f"crop_share is for resize 'crop'; with {self.resize!r} leave it at 1.0")
        return self

    @model_validator(mode="after")
    def _size_is_bounded(self) -> Self:
        if self.width * self.height > MOST_PIXELS:
            raise ValueError(f"{self.width}x{self.height} is too large: at most {MOST_PIXELS} pixels are allowed")
        return self

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 of the spec: equal specs, equal fingerprints."""
        text = json.dumps(self.model_dump(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def words(self) -> str:
        """For people, such as "pad 480x352"; what is as usual is left out."""
        share = f" of the central {self.crop_share:g}" if self.crop_share < 1 else ""
        usual = PreprocessSpec.model_fields
        rest = [self.interpolation, self.colour]
        unusual = [each for each in rest if each not in (usual["interpolation"].default, usual["colour"].default)]
        return " ".join([f"{self.resize}{share} {self.width}x{self.height}", *unusual])


def parse_spec(fields: Mapping[str, object]) -> PreprocessSpec:
    """A spec from values that came from outside. Raises InvalidRequestError that names the field."""
    try:
        return PreprocessSpec.model_validate(dict(fields))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, ("preprocess", *fault["loc"])))
        raise InvalidRequestError(f"{where}: {fault['msg']}") from error


@functools.lru_cache(maxsize=256)
def shared_spec(spec: PreprocessSpec) -> PreprocessSpec:
    """The same object for equal specs: as keys, objects that are one are found without comparing their fields."""
    return spec


@dataclass(frozen=True)
class Frame:
    """How the pixels of the model lie in the caller's picture, upright after EXIF.

    x_picture = x_scale * x_input + x_offset, and likewise for y; both frames have (0, 0) at the outer corner of
    the top-left pixel.
    """

    image_width: int
    image_height: int
    x_scale: float
    x_offset: float
    y_scale: float
    y_offset: float
    input_width: int
    input_height: int

    @property
    def shows_all(self) -> bool:
        """Whether the whole picture lies in the input of the model; a cell of the finest map may be missing."""
        left, top = -self.x_offset / self.x_scale, -self.y_offset / self.y_scale
        right, bottom = left + self.image_width / self.x_scale, top + self.image_height / self.y_scale
        slack = 1.0
        inside = left > -slack and top > -slack
        return inside and right < self.input_width + slack and bottom < self.input_height + slack

    def cells(self, shape: tuple[int, ...]) -> Area:
        """Where the caller's picture lies in a map (h, w) over the whole input: left, top, right, bottom in cells."""
        per_y, per_x = shape[0] / self.input_height, shape[1] / self.input_width
        left, right = ((x - self.x_offset) / self.x_scale * per_x for x in (0, self.image_width))
        top, bottom = ((y - self.y_offset) / self.y_scale * per_y for y in (0, self.image_height))
        return max(0.0, left), max(0.0, top), min(float(shape[1]), right), min(float(shape[0]), bottom)


def preprocess(image: EncodedImage, spec: PreprocessSpec) -> tuple[Pixels, Frame]:
    """Decode and resize. Returns uint8 (1, H, W, 3), or (1, H, W, 1) for colour "L", and its frame.

    Raises InvalidImageError where the picture cannot be decoded.
    """
    frame = frame_of(image.width, image.height, spec)
    if image.pixels is not None and _is_input(image.pixels, frame, spec):
        return image.pixels[None], frame  # (1, H, W, 3)
    picture = image.decode(least_size(frame))
    if spec.colour == "L":
        picture = picture.convert("L")
    resized = _place(picture, image.area, frame, spec)
    pixels = np.asarray(resized)  # (H, W, 3) or (H, W)
    return pixels.reshape(1, spec.height, spec.width, -1), frame


def least_size(frame: Frame) -> tuple[int, int]:
    """(width, height) of the whole picture that a reduced decode must still resolve."""
    return (
        math.ceil(_DRAFT_MARGIN * frame.image_width / frame.x_scale),
        math.ceil(_DRAFT_MARGIN * frame.image_height / frame.y_scale),
    )


def _is_input(pixels: Pixels, frame: Frame, spec: PreprocessSpec) -> bool:
    """Whether pixels (H, W, 3) or (H, W) are already what the model takes."""
    scales, offsets = (frame.x_scale, frame.y_scale), (frame.x_offset, frame.y_offset)
    return (
        pixels.shape == (spec.height, spec.width, 3)
        and spec.colour == "RGB"
        and scales == (1, 1)
        and offsets == (0, 0)
    )


def frame_of(width: int, height: int, spec: PreprocessSpec) -> Frame:
    """The frame that `preprocess` gives a picture of this size, upright."""
    x_scale, y_scale = width / spec.width, height / spec.height
    x_offset, y_offset = 0.0, 0.0
    if spec.resize == "crop":
        x_scale = y_scale = min(x_scale, y_scale) * spec.crop_share
        x_offset, y_offset = (width - spec.width * x_scale) / 2, (height - spec.height * y_scale) / 2
    elif spec.resize == "pad":
        # The picture is pasted at whole pixels: its two scales and offsets follow from those.
        scale = max(x_scale, y_scale)
        inner_width, inner_height = max(1, round(width / scale)), max(1, round(height / scale))
        x_scale, y_scale = width / inner_width, height / inner_height
        x_offset = -((spec.width - inner_width) // 2) * x_scale
        y_offset = -((spec.height - inner_height) // 2) * y_scale
    return Frame(
        image_width=width,
        image_height=height,
        x_scale=x_scale,
        x_offset=x_offset,
        y_scale=y_scale,
        y_offset=y_offset,
        input_width=spec.width,
        input_height=spec.height,
    )


def _place(picture: Image.Image, area: Area, frame: Frame, spec: PreprocessSpec) -> Image.Image:
    if spec.resize == "pad":
        return _padded(resize(picture, _inner_size(frame), spec.interpolation, area), frame, spec)
    # A reduced decode has fewer pixels than the caller's picture; the box is given in its pixels.
    left, top, right, bottom = area
    fx, fy = (right - left) / frame.image_width, (bottom - top) / frame.image_height
    box = (
        max(left, left + frame.x_offset * fx),
        max(top, top + frame.y_offset * fy),
        min(right, left + (frame.x_offset + spec.width * frame.x_scale) * fx),
        min(bottom, top + (frame.y_offset + spec.height * frame.y_scale) * fy),
    )
    return resize(picture, (spec.width, spec.height), spec.interpolation, box)


def _inner_size(frame: Frame) -> tuple[int, int]:
    return round(frame.image_width / frame.x_scale), round(frame.image_height / frame.y_scale)


def _padded(inner: Image.Image, frame: Frame, spec: PreprocessSpec) -> Image.Image:
    fill = _PAD_VALUE if spec.colour == "L" else (_PAD_VALUE,) * 3
    canvas = Image.new(inner.mode, (spec.width, spec.height), fill)
    canvas.paste(inner, (round(-frame.x_offset / frame.x_scale), round(-frame.y_offset / frame.y_scale)))
    return canvas
