"""Objects on a picture: translucent masks with their outline, boxes, and labels that keep out of each other's way."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from trunkline.core.colours import Colour, colour_of, text_on
from trunkline.core.masks import decode_mask
from trunkline.core.results import Box, Detection
from trunkline.core.task import Canvas, Rectangle

_MASK = 0.4  # share of a mask's colour
_WIDTH_PER_LINE, _WIDTH_PER_FONT, _LEAST_FONT = 360, 60, 13


def draw_objects(canvas: Canvas, objects: Sequence[Detection]) -> None:
    """Draw on a picture, the best object last and so on top."""
    picture, scale = canvas.picture, canvas.scale
    line = max(2, round(picture.width / _WIDTH_PER_LINE))
    for found in reversed(objects):
        if found.mask is not None:
            _draw_mask(picture, found, scale, line)
    draw = ImageDraw.Draw(picture)
    for found in reversed(objects):
        draw.rectangle(_shown(found.box, scale), outline=colour_of(found.label.index), width=line)
    _draw_labels(draw, objects, canvas)


def _shown(box: Box, scale: tuple[float, float]) -> Rectangle:
    left, top = round(box.x_min * scale[0]), round(box.y_min * scale[1])
    right, bottom = round(box.x_max * scale[0]) - 1, round(box.y_max * scale[1]) - 1
    return left, top, max(left, right), max(top, bottom)


def _draw_mask(picture: Image.Image, found: Detection, scale: tuple[float, float], line: int) -> None:
    assert found.mask is not None
    box = found.box
    left, top = int(box.x_min), int(box.y_min)
    part = decode_mask(found.mask)[top : int(np.ceil(box.y_max)), left : int(np.ceil(box.x_max))]  # (h, w)
    size = max(1, round(part.shape[1] * scale[0])), max(1, round(part.shape[0] * scale[1]))
    smooth = Image.fromarray(part.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    whole = ImageOps.expand(
        smooth.point(lambda value: 255 * (value > 127)), line
    )  # a border, for an outline there too
    outline = ImageChops.subtract(whole, whole.filter(ImageFilter.MinFilter(2 * line - 1)))
    at = round(left * scale[0]) - line, round(top * scale[1]) - line
    colour = colour_of(found.label.index)
    picture.paste(colour, at, whole.point(lambda value: round(_MASK * value)))
    picture.paste(colour, at, outline)


def _draw_labels(draw: ImageDraw.ImageDraw, objects: Sequence[Detection], canvas: Canvas) -> None:
    """The best object first: it takes the place that is best for it."""
    scale, size, taken = canvas.scale, canvas.picture.size, canvas.taken
    font = ImageFont.load_default(max(_LEAST_FONT, size[0] / _WIDTH_PER_FONT))
    for found in objects:
        colour: Colour = colour_of(found.label.index)
        text = f"{found.label.label} {found.label.score:.2f}"
        left, top, right, bottom = font.getbbox(text)
        width, height = right - left + 6, bottom - top + 6
        places = list(_places(_shown(found.box, scale), width, height, size))
        place = min(places, key=lambda place: sum(_common(place, other) for other in taken))
        taken.append(place)
        draw.rectangle(place, colour)
        draw.text((place[0] + 3 - left, place[1] + 3 - top), text, text_on(colour), font)


def _places(box: Rectangle, width: float, height: float, size: tuple[int, int]) -> Iterator[Rectangle]:
    """Where a label may be, in the picture if it fits, the best place first: above the box, in it, below it."""
    left, top, right, bottom = box
    for above in (top - height, top, bottom + 1, bottom - height):
        for before in (left, right + 1 - width):
            x, y = max(0, min(before, size[0] - width)), max(0, min(above, size[1] - height))
            yield x, y, x + width - 1, y + height - 1


def _common(one: Rectangle, other: Rectangle) -> float:
    """Area that two rectangles share."""
    wide = min(one[2], other[2]) - max(one[0], other[0]) + 1
    high = min(one[3], other[3]) - max(one[1], other[1]) + 1
    return max(0.0, wide) * max(0.0, high)
