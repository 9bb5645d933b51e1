"""The lines of a card's panel: headings, labels with bars, quantities with their unit and, for angles, a dial."""

import math

from PIL import ImageDraw, ImageFont

from trunkline.core.figures import measure, percent
from trunkline.core.results import Quantity, ScoredLabel
from trunkline.core.task import Row, Swatch

TEXT, DIM = (240, 242, 245), (158, 166, 178)
_TRACK, _BAR = (46, 51, 60), (70, 150, 245)
_DEGREES = ("deg", "°", "degree", "degrees")


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Point = tuple[float, float]


def draw_row(draw: ImageDraw.ImageDraw, row: Row, at: Point, width: float, size: int) -> None:
    """Draw a row of height 2 * size at its top left corner."""
    if isinstance(row, ScoredLabel):
        _draw_label(draw, row, at, width, size)
    elif isinstance(row, Swatch):
        _draw_swatch(draw, row, at, width, size)
    elif isinstance(row, Quantity):
        _draw_quantity(draw, row, at, width, size)
    else:
        font = ImageFont.load_default(size * 0.75)
        draw.text((at[0], at[1] + size * 0.6), fit_text(row, font, width), DIM, font)


def fit_text(text: str, font: Font, width: float) -> str:
    """The text, or as much of it as fits into `width` pixels, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    kept = text
    while kept and font.getlength(kept + "…") > width:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _draw_label(draw: ImageDraw.ImageDraw, label: ScoredLabel, at: Point, width: float, size: int) -> None:
    """The label on the left, its probability on the right, and its bar below both."""
    x, y = at
    _draw_pair(draw, label.label, percent(label.score), at, width, size)
    bar, bottom = y + 1.35 * size, y + 1.6 * size
    draw.rectangle((x, bar, x + width, bottom), _TRACK)
    filled = width * min(1.0, max(0.0, label.score))
    if filled >= 1:
        draw.rectangle((x, bar, x + filled, bottom), _BAR)


def _draw_quantity(draw: ImageDraw.ImageDraw, quantity: Quantity, at: Point, width: float, size: int) -> None:
    """The name on the left, the value with its unit on the right; an angle has its dial before the name."""
    x, y = at
    room = 0.0
    if quantity.unit in _DEGREES:
        radius = 0.85 * size
        _draw_dial(draw, quantity.value, (x + radius, y + size), radius)
        room = 2 * radius + 0.6 * size
    text = measure(quantity.value, quantity.unit)
    _draw_pair(draw, quantity.name, text, (x + room, y + 0.4 * size), width - room, size)


def _draw_swatch(draw: ImageDraw.ImageDraw, swatch: Swatch, at: Point, width: float, size: int) -> None:
    """A square of the colour before the name, the amount on the right."""
    x, y = at
    draw.rectangle((x, y + 0.35 * size, x + 1.2 * size, y + 1.55 * size), swatch.colour, TEXT)
    room = 1.8 * size
    _draw_pair(draw, swatch.text, swatch.amount, (x + room, y + 0.4 * size), width - room, size)


def _draw_pair(draw: ImageDraw.ImageDraw, left: str, right: str, at: Point, width: float, size: int) -> None:
    font, (x, y) = ImageFont.load_default(size), at
    right = fit_text(right, font, width / 2)
    draw.text((x, y), fit_text(left, font, width - font.getlength(right) - size), TEXT, font)
    draw.text((x + width, y), right, TEXT, font, anchor="ra")


def _draw_dial(draw: ImageDraw.ImageDraw, degrees: float, centre: Point, radius: float) -> None:
    """A circle with a hand: 0 points to the right, angles grow counter-clockwise."""
    x, y = centre
    thick = max(2, round(radius / 8))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), _TRACK)
    draw.line((x, y, x + radius, y), DIM, 1)
    turn = math.radians(degrees % 360)
    draw.line((x, y, x + radius * math.cos(turn), y - radius * math.sin(turn)), _BAR, thick)
