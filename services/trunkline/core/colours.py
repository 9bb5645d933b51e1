"""A colour for each class, on pictures and in their legends."""

import colorsys

Colour = tuple[int, int, int]

# Golden ratio: hues that follow each other are as far apart as can be, however many classes there are.
_TURN = 0.61803398875
_FIRST = 0.58


def colour_of(index: int) -> Colour:
    """Bright RGB, always the same for the same class."""
    value, saturation = ((1.0, 0.75), (1.0, 0.45), (0.8, 0.9))[index // 8 % 3]
    red, green, blue = colorsys.hsv_to_rgb((_FIRST + _TURN * index) % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_on(colour: Colour) -> Colour:
    """Black or white, whichever can be read on the colour (its luma by ITU-R BT.601)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
