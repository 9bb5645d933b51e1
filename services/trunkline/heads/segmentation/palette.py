"""Colours of label maps: neighbours in the list are far apart, also for people who see few colours."""

import colorsys
from collections.abc import Sequence

Colour = tuple[int, int, int]

# Golden ratio: hues that follow each other are as far apart as can be, however many there are.
_TURN = 0.61803398875
_LIGHTS = ((0.95, 0.65), (0.65, 0.85), (0.80, 0.45))  # (value, saturation)
LARGEST = 256


def default_palette(classes: int) -> tuple[Colour, ...]:
    """One RGB colour for each class, always the same for the same place in the list."""
    return tuple(_colour(index) for index in range(classes))


def flat(palette: Sequence[Colour]) -> list[int]:
    """As an indexed PNG takes it: 256 colours, one after the other."""
    values = [part for colour in palette for part in colour]
    return values + [0] * (3 * LARGEST - len(values))


def _colour(index: int) -> Colour:
    value, saturation = _LIGHTS[index % len(_LIGHTS)]
    red, green, blue = colorsys.hsv_to_rgb((0.6 + _TURN * index) % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
