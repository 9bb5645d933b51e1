"""One implementation turns a picture into pixels, and says where they lie in it."""

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.unit.pictures import STORED, encode, quarters, turned
from trunkline.core.errors import InvalidImageError
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Frame, PreprocessSpec, preprocess

RULES = ["crop", "squash", "pad"]


# The spec


def test_the_fingerprint_of_a_spec_never_changes():
    # Stored with every backbone and head: another value here means that none of them loads any more.
    assert PreprocessSpec().fingerprint == "ae66cd73c29f0091"
    assert PreprocessSpec(crop_share=0.875).fingerprint == "94b6da7d58342c80"
    assert PreprocessSpec(width=224, height=224, resize="crop").fingerprint == PreprocessSpec().fingerprint
    assert PreprocessSpec(crop_share=1).fingerprint == PreprocessSpec().fingerprint


def test_each_field_changes_the_fingerprint():
    changes = {
        "resize": "squash",
        "width": 256,
        "height": 256,
        "crop_share": 0.875,
        "interpolation": "bilinear",
        "colour": "L",
    }
    assert set(changes) == set(PreprocessSpec.model_fields)
    prints = {PreprocessSpec(**{field: value}).fingerprint for field, value in changes.items()}
    assert len(prints | {PreprocessSpec().fingerprint}) == len(changes) + 1


def test_a_spec_survives_json():
    spec = PreprocessSpec(resize="pad", width=640, height=384, interpolation="bilinear")
    assert PreprocessSpec.model_validate_json(spec.model_dump_json()).fingerprint == spec.fingerprint


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 225},
        {"height": 0},
        {"width": 4128},
        {"width": -32},
        {"crop_share": 0.0},
        {"crop_share": 1.1},
        {"crop_share": float("nan")},
        {"resize": "squash", "crop_share": 0.875},
        {"resize": "stretch"},
        {"interpolation": "nearest"},
        {"colour": "BGR"},
        {"mean": 0.5},
    ],
)
def test_an_illegal_spec_is_refused(wrong):
    with pytest.raises(ValidationError):
        PreprocessSpec(**wrong)


def test_a_spec_is_a_value():
    assert PreprocessSpec() == PreprocessSpec()
    with pytest.raises(ValidationError):
        PreprocessSpec().width = 32


# What comes out


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize(("colour", "channels"), [("RGB", 3), ("L", 1)])
def test_pixels_are_uint8_with_batch_height_width_and_channels(resize, colour, channels):
    spec = PreprocessSpec(resize=resize, width=96, height=64, colour=colour)
    pixels, frame = preprocess(EncodedImage(encode(quarters(300, 200), "JPEG")), spec)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 64, 96, channels)
    assert pixels.flags.c_contiguous
    assert (frame.image_width, frame.image_height, frame.input_width, frame.input_height) == (300, 200, 96, 64)


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5000, 1), (1, 5000), (65_000, 2), (3, 3000)])
def test_a_picture_of_any_shape_fits_every_rule(size, form, resize):
    spec = PreprocessSpec(resize=resize, crop_share=0.875 if resize == "crop" else 1.0)
    pixels, frame = preprocess(EncodedImage(encode(Image.new("RGB", size, (90, 140, 40)), form)), spec)
    middle = (size[0] / 2 - frame.x_offset) / frame.x_scale, (size[1] / 2 - frame.y_offset) / frame.y_scale
    inside = pixels[0, int(middle[1]), int(middle[0])]
    assert pixels.shape == (1, 224, 224, 3)
    assert np.abs(inside.astype(int) - (90, 140, 40)).max() <= 3
    assert (frame.image_width, frame.image_height) == size


def test_pad_fills_with_gray_and_keeps_the_aspect():
    pixels, _ = preprocess(
        EncodedImage(encode(Image.new("RGB", (200, 100), "red"), "PNG")), PreprocessSpec(resize="pad")
    )
    red = (pixels[0] == (255, 0, 0)).all(axis=2)
    assert red.sum() == 224 * 112
    assert red[56:168].all()
    assert (pixels[0][~red] == 127).all()


def test_crop_takes_the_share_of_the_centre():
    picture = Image.new("RGB", (256, 256), "black")
    picture.paste("white", (16, 16, 240, 240))
    pixels, frame = preprocess(EncodedImage(encode(picture, "PNG")), PreprocessSpec(crop_share=0.875))
    assert (pixels == 255).all()
    assert frame == Frame(256, 256, 1.0, 16.0, 1.0, 16.0, 224, 224)


def test_a_picture_of_the_size_of_the_model_is_left_as_it_is():
    noise = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    for resize in RULES:
        pixels, _ = preprocess(EncodedImage(encode(Image.fromarray(noise), "PNG")), PreprocessSpec(resize=resize))
        assert np.array_equal(pixels[0], noise)


def test_scaling_does_not_depend_on_the_data():
    for level in (0, 1, 2, 200):
        pixels, _ = preprocess(
            EncodedImage(encode(Image.new("RGB", (300, 300), (level,) * 3), "PNG")), PreprocessSpec()
        )
        assert (pixels == level).all()


def test_a_damaged_picture_is_refused(samples):
    data = (samples / "coffee.jpg").read_bytes()
    with pytest.raises(InvalidImageError):
        preprocess(EncodedImage(data[: len(data) // 2]), PreprocessSpec())


# Reduced decoding


def whole(data: bytes) -> EncodedImage:
    """The same upright pixels as `data`, in a format that is never decoded at reduced scale."""
    return EncodedImage(encode(EncodedImage(data).decode(), "PNG"))


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize("name", ["coffee", "camera", "chelsea", "astronaut"])
def test_a_reduced_decode_gives_nearly_the_pixels_of_a_whole_one(samples, name, resize):
    data = (samples / f"{name}.jpg").read_bytes()
    spec = PreprocessSpec(resize=resize, width=64, height=64)
    reduced, frame = preprocess(EncodedImage(data), spec)
    full, full_frame = preprocess(whole(data), spec)
    difference = np.abs(reduced.astype(int) - full)
    assert frame == full_frame
    assert difference.max() > 0  # it was reduced
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", RULES)
def test_a_reduced_decode_does_not_shift_a_picture_whose_sides_are_no_multiples_of_it(samples, resize, orientation):
    # 519 x 455 at 1/8 is 64.9 x 56.9: taken as 65 x 57 the far sides would be off, and the difference above 0.9.
    with Image.open(samples / "coffee.jpg") as photograph:
        upright = photograph.resize((519, 455))
    data = turned(upright, orientation, "JPEG", quality=95)
    spec = PreprocessSpec(resize=resize, width=32, height=32)
    reduced, frame = preprocess(EncodedImage(data), spec)
    full, full_frame = preprocess(whole(data), spec)
    assert frame == full_frame
    assert np.abs(reduced.astype(int) - full).mean() < 0.8


# The frame


def back(frame, x, y):
    """Where a place in the pixels of the model, a number or an array of them, lies in the picture."""
    return frame.x_scale * x + frame.x_offset, frame.y_scale * y + frame.y_offset


DARK, LIGHT = 60, 200  # away from 0 and 255, where the filter's overshoot would be cut


def found_middle(pixels: np.ndarray, frame: Frame) -> tuple[float, float]:
    """Centre of what is lighter than DARK inside the picture, in pixels of the model."""
    light = pixels[0, :, :, 0].astype(float) - DARK
    y, x = np.indices(light.shape)
    x_picture, y_picture = back(frame, x + 0.5, y + 0.5)
    light[(x_picture < 0) | (x_picture > frame.image_width) | (y_picture < 0) | (y_picture > frame.image_height)] = 0
    return ((x + 0.5) * light).sum() / light.sum(), ((y + 0.5) * light).sum() / light.sum()


SIZES = [
    (500, 375),
    (300, 1000),  # tall
    (1000, 300),  # wide
    (40, 30),  # tiny
    (33, 47),
    (223, 225),
    (1793, 1795),
    (3585, 3585),  # one more than 16 times 224
    (6000, 4001),  # huge
]


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_frame_leads_back_to_the_place_in_the_picture(form, resize, size):
    spec = PreprocessSpec(resize=resize, crop_share=0.875 if resize == "crop" else 1.0)
    assert_leads_back(size, spec, form)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("size", [(1793, 901), (901, 1793)], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("resize", RULES)
def test_the_frame_leads_back_into_the_upright_picture(resize, size, orientation):
    assert_leads_back(size, PreprocessSpec(resize=resize), "JPEG", orientation)


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize(("width", "height"), [(320, 64), (64, 320)])
def test_the_frame_holds_for_models_that_are_not_square(resize, width, height):
    for size in SIZES[:4]:
        assert_leads_back(size, PreprocessSpec(resize=resize, width=width, height=height), "JPEG")


def assert_leads_back(size: tuple[int, int], spec: PreprocessSpec, form: str, orientation: int = 1) -> None:
    """A white square at a known place, away from the middle, is found again within a pixel.

    A pixel of the picture, or a tenth of a pixel of the model where that is more.
    """
    width, height = size
    reach_x, reach_y = 0.34 * width, 0.34 * height
    side = max(4, min(size) // 8)
    if spec.resize == "crop":  # keep within what the model sees
        scale = min(width / spec.width, height / spec.height) * spec.crop_share
        seen_x, seen_y = spec.width * scale, spec.height * scale
        reach_x, reach_y = 0.34 * seen_x, 0.34 * seen_y
        side = max(4, int(min(seen_x, seen_y) / 8))
    left, top = round(width / 2 + reach_x - side / 2), round(height / 2 - reach_y - side / 2)
    picture = Image.new("L", size, DARK)
    picture.paste(LIGHT, (left, top, left + side, top + side))
    data = turned(picture, orientation, form) if orientation in STORED else encode(picture, form)
    pixels, frame = preprocess(EncodedImage(data), spec)
    x, y = back(frame, *found_middle(pixels, frame))
    assert abs(x - (left + side / 2)) <= max(1, frame.x_scale / 10)
    assert abs(y - (top + side / 2)) <= max(1, frame.y_scale / 10)


@pytest.mark.parametrize("size", SIZES[:6], ids="{0[0]}x{0[1]}".format)
def test_the_frame_of_a_padded_picture_leads_its_corners_to_the_corners_of_the_pixels(size):
    data = encode(Image.new("RGB", size, "white"), "PNG")
    pixels, frame = preprocess(EncodedImage(data), PreprocessSpec(resize="pad"))
    lit = (pixels[0] == 255).all(axis=2)
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    assert np.allclose(back(frame, columns[0], rows[0]), (0, 0))
    assert np.allclose(back(frame, columns[-1] + 1, rows[-1] + 1), size)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_the_frame_of_a_squashed_picture_covers_it_exactly(size):
    data = encode(Image.new("1", size), "PNG")
    _, frame = preprocess(EncodedImage(data), PreprocessSpec(resize="squash"))
    assert np.allclose(back(frame, 0, 0), (0, 0))
    assert np.allclose(back(frame, 224, 224), size)
