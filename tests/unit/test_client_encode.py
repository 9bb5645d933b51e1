"""Whatever a caller holds as a picture becomes the bytes that the service decodes to the same pixels."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from trunkline.client import ServiceError, encode_image
from trunkline.client.connection import MAX_MESSAGE_BYTES
from trunkline.core.images import decode_image, to_rgb
from trunkline.serving.settings import Settings


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)  # (H, W, 3)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data))


def test_bytes_of_any_kind_are_sent_as_they_are():
    for kind in (bytes, bytearray, memoryview):
        assert encode_image(kind(b"anything")) == b"anything"


def test_empty_bytes_are_left_to_the_service_to_refuse():
    assert encode_image(b"") == b""


def test_a_file_is_sent_as_it_is_by_path_or_by_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"not looked at")
    assert encode_image(path) == encode_image(str(path)) == b"not looked at"


def test_a_missing_file_is_named(tmp_path):
    for uri in ("data:image/png;base64,iVBORw0KGgo=", "data:image/jpeg;base64," + 5000 * "/9j"):
        with pytest.raises(FileNotFoundError, match="a data: URI, not a file: decode its base64"):
            encode_image(uri)
    with pytest.raises(FileNotFoundError, match=r"there is no picture .*gone\.jpg"):
        encode_image(tmp_path / "gone.jpg")


def test_a_folder_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(IsADirectoryError, match="name the pictures in it"):
        encode_image(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"secret\.jpg cannot be read"):
        encode_image(path)


def test_a_colour_array_arrives_without_loss(pixels):
    assert np.array_equal(decoded(encode_image(pixels)), pixels)


def test_a_gray_array_arrives_without_loss(pixels):
    gray = pixels[..., 0]
    assert np.array_equal(decoded(encode_image(gray)), np.stack([gray] * 3, axis=-1))


def test_an_array_that_is_not_contiguous_arrives_without_loss(pixels):
    flipped = pixels[::-1, ::2]
    assert np.array_equal(decoded(encode_image(flipped)), flipped)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int64, bool])
def test_an_array_of_another_dtype_is_refused_and_never_scaled_by_guess(pixels, dtype):
    with pytest.raises(TypeError, match="scale it to 0"):
        encode_image(pixels.astype(dtype))


@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 7, 5, 3), (7, 5, 4), (7, 5, 1), (5,)])
def test_an_array_of_another_shape_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match="is no picture") as caught:
        encode_image(np.zeros(shape, np.uint8))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0)])
def test_an_array_without_pixels_is_refused(shape):
    with pytest.raises(ValueError, match="no pixels"):
        encode_image(np.zeros(shape, np.uint8))


def test_what_is_no_picture_is_refused_with_what_there_is():
    with pytest.raises(TypeError, match="a list is no picture: give a path"):
        encode_image([1, 2, 3])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16"])
def test_a_picture_of_any_mode_arrives_as_the_service_would_read_it(pixels, mode):
    if mode == "I;16":
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode == "LAB":
        picture = Image.frombytes("LAB", (5, 7), pixels.tobytes())
    else:
        picture = Image.fromarray(pixels).convert(mode)
    assert np.array_equal(decoded(encode_image(picture)), np.asarray(to_rgb(picture)))


def test_transparency_of_a_palette_is_kept(pixels):
    picture = Image.fromarray(pixels).convert("P")
    picture.info["transparency"] = 0
    assert np.array_equal(decoded(encode_image(picture)), np.asarray(to_rgb(picture)))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_a_picture_of_numbers_without_a_range_is_refused_with_what_to_do(mode):
    with pytest.raises(ValueError, match=f"mode {mode} has no fixed range: scale it"):
        encode_image(Image.new(mode, (4, 4)))


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ValueError, match="no pixels"):
        encode_image(Image.new("RGB", (0, 4)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_an_opened_photograph_keeps_its_meaning(pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    opened = Image.open(io.BytesIO(file.getvalue()))
    assert np.array_equal(decoded(encode_image(opened)), decoded(file.getvalue()))


def test_encoding_leaves_the_callers_picture_as_it_was(pixels):
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = 6
    encode_image(picture)
    assert picture.size == (5, 7)
    assert picture.getexif()[0x0112] == 6


def test_what_fits_into_no_message_is_refused_here_with_the_limit(tmp_path):
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.truncate(MAX_MESSAGE_BYTES)
    for image in (path, bytes(MAX_MESSAGE_BYTES)):
        with pytest.raises(ServiceError, match="no more than") as caught:
            encode_image(image)
        assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "IMAGE_TOO_LARGE")


def test_the_clients_limit_is_the_default_limit_of_the_service():
    assert Settings.model_fields["max_message_bytes"].default == MAX_MESSAGE_BYTES
