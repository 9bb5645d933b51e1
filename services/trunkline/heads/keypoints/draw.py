"""Points and skeleton on a picture."""

from PIL import ImageDraw

from trunkline.core.colours import colour_of
from trunkline.core.task import Canvas
from trunkline.heads.keypoints.task import HIDDEN, Keypoint, Keypoints

_WIDTH_PER_LINE, _DOT = 320, 1.6  # radius of a dot in widths of a line
_LINE = (255, 255, 255)


def draw_points(canvas: Canvas, result: Keypoints) -> None:
    """Lines first, so that the points lie on top. A point that is hidden is a ring."""
    picture, (across, down) = canvas.picture, canvas.scale
    draw, line = ImageDraw.Draw(picture), max(1, round(picture.width / _WIDTH_PER_LINE))
    radius = max(2.0, _DOT * line)
    for each in result.objects:
        places = {point.name: (point.x * across, point.y * down) for point in each.points}
        for start, end in result.skeleton:
            if start in places and end in places:
                draw.line([places[start], places[end]], _LINE, line)
        for index, point in enumerate(each.points):
            _draw_point(draw, point, places[point.name], radius, index)


def _draw_point(
    draw: ImageDraw.ImageDraw, point: Keypoint, place: tuple[float, float], radius: float, index: int
) -> None:
    x, y = place
    corners = (x - radius, y - radius, x + radius, y + radius)
    colour = colour_of(index)
    if point.visibility < HIDDEN:
        draw.ellipse(corners, outline=colour, width=max(1, round(radius / 2)))
    else:
        draw.ellipse(corners, fill=colour, outline=(0, 0, 0))
