"""Cards and contact sheets: upright, readable with any picture, one file."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFont

from trunkline.cli.draw import Card, draw_cards, save_picture
from trunkline.cli.rows import fit_text
from trunkline.core.colours import colour_of
from trunkline.core.errors import InvalidImageError
from trunkline.core.masks import encode_mask
from trunkline.core.results import (
    Box,
    Classification,
    Custom,
    Detection,
    Detections,
    Embedding,
    Quantity,
    Regression,
    ScoredLabel,
)
from trunkline.core.task import Canvas, Swatch
from trunkline.core.tasks import task_of_result

LABELS = (ScoredLabel(0, "espresso", 0.95), ScoredLabel(1, "a very long label of a class " * 8, 0.05))
BAR = (70, 150, 245)


def encoded(picture: Image.Image, file_format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def card(width: int, height: int, colour: str = "red", rows=LABELS) -> Card:
    return Card(encoded(Image.new("RGB", (width, height), colour)), "photo.png", rows, "footer")


def rows_of(result):
    return task_of_result(result).panel(result)


def draw_objects(picture: Image.Image, objects: list[Detection], scale: tuple[float, float]) -> None:
    found = Detections(tuple(objects))
    task_of_result(found).paint(Canvas(picture, scale), found)


def rows_of_colour(drawn: Image.Image, colour: tuple[int, int, int]) -> list[int]:
    """Number of pixels of a colour in each row that has any."""
    counts = (np.asarray(drawn) == colour).all(axis=-1).sum(axis=1)
    return [int(count) for count in counts if count]


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (640, 480), (4000, 3000), (3000, 40), (40, 3000)])
def test_the_panel_is_readable_with_a_picture_of_any_size(size):
    drawn = draw_cards([card(*size)])
    assert drawn.mode == "RGB"
    assert 440 <= drawn.width <= 960
    assert drawn.height <= 720 + 8 * 24
    bars = rows_of_colour(drawn, BAR)
    assert bars, "no bar was drawn"
    assert max(bars) == pytest.approx(0.95 * (drawn.width - 1.6 * max(18, drawn.width // 40)), abs=3)


def test_a_small_picture_is_scaled_up():
    drawn = draw_cards([card(8, 6)])
    red = (np.asarray(drawn) == (255, 0, 0)).all(axis=-1).sum()
    assert red == 960 * 720


def test_a_picture_is_shown_upright():
    stored = Image.new("RGB", (40, 20), "red")
    stored.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise: what is stored on the left goes to the top
    drawn = draw_cards([Card(encoded(stored, exif=exif), "t", LABELS, "f")])
    middle = drawn.width // 2
    assert drawn.getpixel((middle, 40)) == (0, 0, 255)
    assert drawn.getpixel((middle, 680)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("count", "grid", "width"),
    [(2, (2, 1), 640), (3, (3, 1), 640), (4, (2, 2), 640), (5, (3, 2), 440), (10, (4, 3), 440)],
)
def test_several_pictures_become_one_sheet_with_a_place_for_each(count, grid, width):
    cards = [card(20, 30), *(card(50, 50) for _ in range(count - 1))]
    sheet = draw_cards(cards)
    columns, rows = grid
    assert sheet.width == columns * (width + 12) + 12
    assert (sheet.height - 12) % rows == 0


def test_a_row_is_as_high_as_its_highest_picture_needs():
    wide, square = card(200, 50), card(50, 50)
    assert draw_cards([wide, wide]).height < draw_cards([wide, square]).height


def test_cards_with_fewer_labels_fit_beside_others():
    sheet = draw_cards([card(10, 10), card(10, 10, rows=LABELS[:1])])
    assert sheet.height == draw_cards([card(10, 10), card(10, 10)]).height


def test_scores_at_and_beyond_their_ends_are_drawn_inside_the_track():
    labels = [ScoredLabel(0, "sure", 1.0), ScoredLabel(1, "never", 0.0), ScoredLabel(2, "rounded", 1.0000001)]
    drawn = draw_cards([card(100, 100, rows=labels)])
    assert max(rows_of_colour(drawn, BAR)) <= drawn.width


def test_a_broken_picture_is_an_error_of_its_own():
    with pytest.raises(InvalidImageError):
        draw_cards([Card(b"no picture", "t", LABELS, "f")])


def test_text_that_fits_is_left_and_longer_text_is_cut():
    font = ImageFont.load_default(20)
    assert fit_text("espresso", font, 200) == "espresso"
    cut = fit_text("espresso " * 20, font, 200)
    assert cut.endswith("…")
    assert font.getlength(cut) <= 200


def test_labels_in_any_script_are_drawn():
    assert draw_cards([card(10, 10, rows=[ScoredLabel(0, "エスプレッソ 咖啡 ☕", 0.5)])]).height > 0


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "deep/er/out.webp"])
def test_a_picture_is_written_in_the_format_of_its_name_and_its_folder_made(tmp_path, name):
    path = tmp_path / name
    save_picture(draw_cards([card(10, 10)]), path)
    with Image.open(path) as written:
        assert written.format == {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[path.suffix]


def test_no_more_than_ten_labels_and_24_rows_are_drawn():
    many = [ScoredLabel(number, str(number), 0.01) for number in range(1000)]
    assert rows_of(Classification(tuple(many))) == tuple(many[:10])
    assert draw_cards([card(10, 10, rows=many)]).size == draw_cards([card(10, 10, rows=many[:24])]).size


def test_every_result_has_rows():
    values = (Quantity("tilt", 1.5, "deg"), Quantity("cells", 12.0))
    assert rows_of(Regression(values)) == values
    assert rows_of(Embedding("faces", (1.0, 0.0))) == ["2 values in space faces"]
    assert rows_of(Classification(())) == ["unknown"]
    assert rows_of(Custom({"count": 3})) == ["count: 3"]


@pytest.mark.parametrize("unit", ["deg", "°"])
@pytest.mark.parametrize(("degrees", "side"), [(0, "right"), (90, "up"), (180, "left"), (270, "down"), (-90, "down")])
def test_the_hand_of_a_dial_points_where_the_angle_does(unit, degrees, side):
    drawn = draw_cards([card(960, 720, rows=[Quantity("tilt", degrees, unit)])])
    rows, columns = np.nonzero((np.asarray(drawn) == BAR).all(axis=-1))
    size = 24
    right = columns.mean() - (0.8 * size + 0.85 * size)
    down = rows.mean() - (720 + 2.1 * size + size)
    found = {"right": right, "left": -right, "down": down, "up": -down}
    assert max(found, key=found.get) == side
    assert found[side] > 0.3 * size


@pytest.mark.parametrize("unit", ["mm", ""])
def test_a_quantity_that_is_no_angle_has_no_dial(unit):
    drawn = draw_cards([card(100, 100, rows=[Quantity("size", 90.0, unit)])])
    assert not rows_of_colour(drawn, BAR)


def test_quantities_of_any_length_and_headings_are_drawn_beside_labels():
    rows = ["head 1", *LABELS, "another head " * 30, Quantity("a long name " * 20, 1e300, "a long unit " * 20)]
    assert draw_cards([card(960, 720, rows=rows)]).height == draw_cards([card(960, 720, rows=LABELS)]).height + 6 * 24


# Objects -----------------------------------------------------------------------------------------------------


def an_object(box, index=0, score=0.9, mask=None, name="cell") -> Detection:
    return Detection(Box(*box), ScoredLabel(index, name, score), mask)


def test_the_legend_counts_the_objects_of_each_class():
    found = [an_object((0, 0, 9, 9), index, name=name) for index, name in ((1, "b"), (0, "a"), (1, "b"))]
    assert rows_of(Detections(tuple(found))) == [Swatch(colour_of(1), "b", "2"), Swatch(colour_of(0), "a", "1")]
    assert rows_of(Detections(())) == []


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_class():
    picture = Image.new("RGB", (600, 400))
    draw_objects(picture, [an_object((50, 60, 100, 120), index=2)], (2.0, 3.0))
    pixels = np.asarray(picture)
    line = (pixels == colour_of(2)).all(axis=-1)
    rows, columns = np.nonzero(line)
    assert (columns.min(), columns.max(), rows.max()) == (100, 199, 359)
    assert line[180, 100:200].all(), "the top edge is at 3 * 60"
    assert not pixels[200:340, 120:180].any(), "inside of the box the picture is as it was"


def test_a_mask_is_translucent_with_an_outline():
    disk = np.hypot(*(np.mgrid[:100, :100] - 50)) < 30
    picture = Image.new("RGB", (400, 400), (100, 100, 100))
    found = an_object((20, 20, 81, 81), mask=encode_mask(disk))
    draw_objects(picture, [found], (4.0, 4.0))
    pixels, colour = np.asarray(picture), np.array(colour_of(0))
    assert np.abs(pixels[200, 200] - (0.6 * 100 + 0.4 * colour)).max() <= 2
    assert (pixels[100, 100] == 100).all(), "in the box, but not in the mask"
    edge = [column for column in range(60, 140) if (pixels[200, column] == colour).all()]
    assert edge, "no outline"
    assert abs(np.mean(edge[-2:]) - 4 * 20.5) < 8


@pytest.mark.parametrize("size", [(1, 1), (3000, 4), (4, 3000), (30, 20)])
def test_objects_are_drawn_on_a_picture_of_any_size(size):
    whole = an_object((0, 0, *size), mask=encode_mask(np.ones(size[::-1], bool)), name="a long name of a class")
    corner = an_object((size[0] - 0.01, size[1] - 0.01, *size), index=1)
    drawn = draw_cards([Card(encoded(Image.new("RGB", size)), "t", (), "f", [Detections((whole, corner))])])
    assert (np.asarray(drawn) == colour_of(0)).all(axis=-1).any()


def test_labels_keep_out_of_each_others_way():
    picture = Image.new("RGB", (960, 720))
    draw_objects(picture, [an_object((400, 300, 600, 500), index) for index in (0, 1)], (1.0, 1.0))
    pixels = np.asarray(picture)
    for index in (0, 1):
        assert (pixels == colour_of(index)).all(axis=-1).sum() > 700, "its label is covered"


def test_colours_of_classes_differ():
    assert len({colour_of(index) for index in range(100)}) == 100
