"""Pixels that were never encoded: what comes out is what went in, and what does not fit is refused at once."""

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import encode
from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.images import EncodedImage, ImageLimits, decode_image
from trunkline.core.preprocess import PreprocessSpec, preprocess
from trunkline.core.raw import is_packed, pack_pixels

PIXELS = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)  # (H, W, 3)


def test_pixels_come_out_as_they_went_in():
    assert np.array_equal(np.asarray(decode_image(pack_pixels(PIXELS))), PIXELS)
    assert np.array_equal(np.asarray(decode_image(pack_pixels(PIXELS[::-1, ::2]))), PIXELS[::-1, ::2])
    image = EncodedImage(pack_pixels(PIXELS))
    assert (image.width, image.height, image.area) == (96, 64, (0.0, 0.0, 96.0, 64.0))


@pytest.mark.parametrize("gray", [PIXELS[..., 0], PIXELS[..., :1]])
def test_gray_pixels_become_rgb(gray):
    found = np.asarray(decode_image(pack_pixels(gray)))  # (H, W, 3)
    assert np.array_equal(found, np.repeat(gray.reshape(64, 96, 1), 3, axis=2))


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("colour", ["RGB", "L"])
@pytest.mark.parametrize("size", [(96, 64), (64, 64), (160, 96)])
def test_the_model_gets_the_same_as_of_a_file(resize, colour, size):
    spec = PreprocessSpec(resize=resize, width=size[0], height=size[1], colour=colour)
    for pixels in (PIXELS, PIXELS[..., 0]):
        found, frame = preprocess(EncodedImage(pack_pixels(pixels)), spec)
        expected, expected_frame = preprocess(EncodedImage(encode(Image.fromarray(pixels), "PNG")), spec)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
        assert frame == expected_frame


def test_pixels_of_the_size_of_the_model_are_not_copied():
    data = pack_pixels(PIXELS)
    found, _ = preprocess(EncodedImage(data), PreprocessSpec(resize="squash", width=96, height=64))
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))
    cropped = PreprocessSpec(width=96, height=64, crop_share=0.5)
    assert not np.array_equal(preprocess(EncodedImage(data), cropped)[0][0], PIXELS)


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (pack_pixels(PIXELS)[:-1], "take 18432 bytes, not 18431"),
        (pack_pixels(PIXELS) + b"x", "take 18432 bytes, not 18433"),
        (pack_pixels(PIXELS)[:12], "header"),
        (pack_pixels(PIXELS)[:8] + bytes(12), "0x0 pixels"),
        (pack_pixels(PIXELS)[:16] + b"\4" + bytes(3), "of 4 values"),
    ],
)
def test_what_does_not_fit_its_header_is_refused(damaged, told):
    with pytest.raises(InvalidImageError, match=told):
        EncodedImage(damaged)


def test_limits_hold_for_pixels_too():
    data = pack_pixels(PIXELS)
    with pytest.raises(ImageTooLargeError, match="96x64 pixels"):
        EncodedImage(data, ImageLimits(max_pixels=96 * 64 - 1))
    with pytest.raises(ImageTooLargeError, match="bytes"):
        EncodedImage(data, ImageLimits(max_bytes=len(data) - 1))
    thin = pack_pixels(np.zeros((1, 70_000), np.uint8))
    with pytest.raises(ImageTooLargeError, match="side"):
        EncodedImage(thin)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF"])
def test_no_file_is_taken_for_pixels(form):
    assert not is_packed(encode(Image.fromarray(PIXELS), form))
