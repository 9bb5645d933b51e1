"""Pictures with their answers: a card is the upright picture over a panel of rows.

Sizes follow from the card, never from the picture, so that the panel can be read with any picture: small ones
are scaled up, large ones down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from trunkline.cli import heat
from trunkline.cli.rows import DIM, draw_row, fit_text
from trunkline.core.explaining import HeatMap
from trunkline.core.images import EncodedImage, ImageLimits
from trunkline.core.results import Result
from trunkline.core.task import Canvas, Row
from trunkline.core.tasks import task_of_result

_LONE_BOX = (960, 720)  # largest (width, height) of a picture on a card of its own
_FEW, _FEW_BOX = 4, (640, 480)  # up to so many on a contact sheet
_SHEET_BOX = (440, 330)  # of a picture on a contact sheet of more
_LEAST_WIDTH = 440
_MOST_ROWS = 24
_LEAST_FONT, _WIDTH_PER_FONT = 18, 40
_GROUND = (22, 24, 29)
# The service took the picture within its own limits; these only bound what a broken header can ask for.
_LIMITS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 29)


@dataclass(frozen=True)
class Card:
    """An encoded picture and what to write below it: rows, of which the first 24 are drawn.

    results: what of them has a place is drawn on the picture. heat: a map that is laid over it.
    """

    picture: bytes
    title: str
    rows: Sequence[Row]
    footer: str
    results: Sequence[Result] = ()
    heat: HeatMap | None = None


def draw_cards(cards: Sequence[Card]) -> Image.Image:
    """One large card, or a contact sheet of several. RGB. Raises InvalidImageError for a broken picture."""
    if len(cards) == 1:
        picture = _shown(cards[0], _LONE_BOX)
        return _card(picture, cards[0], (max(picture.width, _LEAST_WIDTH), picture.height))
    return _sheet(cards)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format that its name says, and make its folder. Raises OSError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror or error}") from error


def _fit(encoded: EncodedImage, box: tuple[int, int]) -> Image.Image:
    """The upright RGB picture, scaled up or down so that it just fits into the box."""
    scale = min(box[0] / encoded.width, box[1] / encoded.height)
    size = max(1, round(encoded.width * scale)), max(1, round(encoded.height * scale))
    picture = encoded.decode(size)
    return picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def _shown(card: Card, box: tuple[int, int]) -> Image.Image:
    encoded = EncodedImage(card.picture, _LIMITS)
    picture = _fit(encoded, box)
    canvas = Canvas(picture, (picture.width / encoded.width, picture.height / encoded.height))
    for result in _in_layers(card.results):
        task_of_result(result).paint(canvas, result)
    return canvas.picture if card.heat is None else heat.over(canvas.picture, card.heat, canvas.scale)


def _in_layers(results: Sequence[Result]) -> list[Result]:
    """Of those that cover the picture the first, and above it all the others."""
    covering = [each for each in results if task_of_result(each).covers]
    return covering[:1] + [each for each in results if not task_of_result(each).covers]


def _card(picture: Image.Image, card: Card, area: tuple[int, int]) -> Image.Image:
    """The picture in the middle of its area (width, height), and the panel below."""
    width, height = area
    size = max(_LEAST_FONT, width // _WIDTH_PER_FONT)
    panel_height = 4 * size + 2 * size * min(_MOST_ROWS, len(card.rows))
    canvas = Image.new("RGB", (width, height + panel_height), _GROUND)
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    _draw_panel(ImageDraw.Draw(canvas), card, top=height, width=width, size=size)
    return canvas


def _draw_panel(draw: ImageDraw.ImageDraw, card: Card, *, top: int, width: int, size: int) -> None:
    small, margin = ImageFont.load_default(size * 0.75), size * 0.8
    inner = width - 2 * margin
    y = top + size * 0.6
    draw.text((margin, y), fit_text(card.title, small, inner), DIM, small)
    y += size * 1.5
    for row in card.rows[:_MOST_ROWS]:
        draw_row(draw, row, (margin, y), inner, size)
        y += 2 * size
    draw.text((margin, y + size * 0.3), fit_text(card.footer, small, inner), DIM, small)


def _sheet(cards: Sequence[Card]) -> Image.Image:
    """Cards side by side in as square a grid as their number allows, up to three in one row.

    Each row is as high as its highest picture and its longest panel.
    """
    box, most = (_FEW_BOX, 3) if len(cards) <= _FEW else (_SHEET_BOX, 0)
    columns = len(cards) if len(cards) <= most else math.ceil(math.sqrt(len(cards)))
    rows = [_row(cards[start : start + columns], box) for start in range(0, len(cards), columns)]
    gap, top = 12, 12
    size = columns * (box[0] + gap) + gap, sum(max(card.height for card in row) + gap for row in rows) + gap
    sheet = Image.new("RGB", size, "black")
    for row in rows:
        height = max(card.height for card in row)
        for column, card in enumerate(row):
            left = gap + column * (box[0] + gap)
            sheet.paste(_GROUND, (left, top, left + box[0], top + height))
            sheet.paste(card, (left, top))
        top += height + gap
    return sheet


def _row(cards: Sequence[Card], box: tuple[int, int]) -> list[Image.Image]:
    pictures = [_shown(card, box) for card in cards]
    height = max(picture.height for picture in pictures)
    return [_card(picture, card, (box[0], height)) for picture, card in zip(pictures, cards, strict=True)]
