"""Pictures with their labels: a card is the upright picture over a panel of labels and bars.

Sizes follow from the card, never from the picture, so that the panel can be read with any picture: small ones
are scaled up, large ones down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from trunkline.core.images import EncodedImage, ImageLimits
from trunkline.core.results import ScoredLabel

_LONE_BOX = (960, 720)  # largest (width, height) of a picture on a card of its own
_SHEET_BOX = (440, 330)  # of a picture on a contact sheet
_LEAST_WIDTH = 440
_MOST_LABELS = 10
_LEAST_FONT, _WIDTH_PER_FONT = 18, 40
_GROUND, _TEXT, _DIM = (22, 24, 29), (240, 242, 245), (158, 166, 178)
_TRACK, _BAR = (46, 51, 60), (70, 150, 245)
# The service took the picture within its own limits; these only bound what a broken header can ask for.
_LIMITS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 29)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Card:
    """An encoded picture and what to write below it; labels best first, of which the first ten are drawn."""

    picture: bytes
    title: str
    labels: Sequence[ScoredLabel]
    footer: str


def draw_cards(cards: Sequence[Card]) -> Image.Image:
    """One large card, or a contact sheet of several. RGB. Raises InvalidImageError for a broken picture."""
    if len(cards) == 1:
        picture = _fit(cards[0].picture, _LONE_BOX)
        return _card(picture, cards[0], (max(picture.width, _LEAST_WIDTH), picture.height))
    drawn = [_card(_fit(card.picture, _SHEET_BOX), card, _SHEET_BOX) for card in cards]
    return _sheet(drawn)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format that its name says, and make its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def fit_text(text: str, font: _Font, width: float) -> str:
    """The text, or as much of it as fits into `width` pixels, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    kept = text
    while kept and font.getlength(kept + "…") > width:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _fit(data: bytes, box: tuple[int, int]) -> Image.Image:
    """The upright RGB picture, scaled up or down so that it just fits into the box."""
    encoded = EncodedImage(data, _LIMITS)
    scale = min(box[0] / encoded.width, box[1] / encoded.height)
    size = max(1, round(encoded.width * scale)), max(1, round(encoded.height * scale))
    picture = encoded.decode(size)
    return picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def _card(picture: Image.Image, card: Card, area: tuple[int, int]) -> Image.Image:
    """The picture in the middle of its area (width, height), and the panel below."""
    width, height = area
    size = max(_LEAST_FONT, width // _WIDTH_PER_FONT)
    panel_height = 4 * size + 2 * size * min(_MOST_LABELS, len(card.labels))
    canvas = Image.new("RGB", (width, height + panel_height), _GROUND)
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    _draw_panel(ImageDraw.Draw(canvas), card, top=height, width=width, size=size)
    return canvas


def _draw_panel(draw: ImageDraw.ImageDraw, card: Card, *, top: int, width: int, size: int) -> None:
    small, margin = ImageFont.load_default(size * 0.75), size * 0.8
    inner = width - 2 * margin
    y = top + size * 0.6
    draw.text((margin, y), fit_text(card.title, small, inner), _DIM, small)
    y += size * 1.5
    for label in card.labels[:_MOST_LABELS]:
        _draw_label(draw, label, (margin, y), inner, size)
        y += 2 * size
    draw.text((margin, y + size * 0.3), fit_text(card.footer, small, inner), _DIM, small)


def _draw_label(
    draw: ImageDraw.ImageDraw, label: ScoredLabel, at: tuple[float, float], width: float, size: int
) -> None:
    """The label on the left, its probability on the right, and its bar below both."""
    font, (x, y) = ImageFont.load_default(size), at
    share = f"{100 * label.score:.1f} %"
    room = width - font.getlength(share) - size
    draw.text((x, y), fit_text(label.label, font, room), _TEXT, font)
    draw.text((x + width, y), share, _TEXT, font, anchor="ra")
    bar, bottom = y + 1.35 * size, y + 1.6 * size
    draw.rectangle((x, bar, x + width, bottom), _TRACK)
    filled = width * min(1.0, max(0.0, label.score))
    if filled >= 1:
        draw.rectangle((x, bar, x + filled, bottom), _BAR)


def _sheet(cards: Sequence[Image.Image]) -> Image.Image:
    """Cards side by side in as square a grid as their number allows."""
    columns = math.ceil(math.sqrt(len(cards)))
    rows = math.ceil(len(cards) / columns)
    gap, width, height = 12, cards[0].width, max(card.height for card in cards)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "black")
    for number, card in enumerate(cards):
        row, column = divmod(number, columns)
        sheet.paste(card, (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet
