"""Large pictures come out smaller, as they would whole, for little memory; each format by its own way."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import chunk, encode, jpeg_of_scans, png, quarters, tiff, turned, webp_vp8l
from trunkline.core import images as image_module
from trunkline.core import shrink as shrink_module
from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.images import EncodedImage, ImageLimits
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.shrink import LARGE_BYTES, shrink, to_rgb
from trunkline.core.weight import decode_weight

SPEC = PreprocessSpec(resize="squash", width=480, height=352)
MODES = ("RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "I;16")


@pytest.fixture
def small_is_large(monkeypatch):
    """What is large begins at 1,000 pixels."""
    for module in (shrink_module, image_module):
        monkeypatch.setattr(module, "LARGE_PIXELS", 1000)


def photo(mode: str, width: int = 211, height: int = 97) -> Image.Image:
    rng = np.random.default_rng(3)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 1 << 16, (height, width)).astype(np.uint16))
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 4), np.uint8), "RGBA")
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return smooth if mode in ("RGBA", "LA") and mode == smooth.mode else smooth.convert("RGB").convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by", [(1, 1), (3, 2), (7, 7), (300, 1)])
def test_rows_at_a_time_give_what_the_whole_picture_gives(mode, by, monkeypatch):
    picture = photo(mode)
    whole = to_rgb(picture)
    wanted = whole.reduce(by) if by != (1, 1) else whole
    monkeypatch.setattr(shrink_module, "_AT_ONCE", 211 * 5)
    assert (np.asarray(shrink(picture, *by)) == np.asarray(wanted)).all()


FORMS = [
    ("PNG", {}),
    ("TIFF", {}),
    ("GIF", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"quality": 90}),
    ("AVIF", {"quality": 90}),
    ("AVIF", {"quality": 90, "subsampling": "4:4:4"}),
    ("AVIF", {"quality": 90, "subsampling": "4:0:0"}),
    ("BMP", {}),
]


NO_ALPHA = ("GIF", "BMP")
KINDS = [(form, options, mode) for form, options in FORMS for mode in ("RGB", "RGBA")[: 1 if form in NO_ALPHA else 2]]


@pytest.mark.parametrize(("form", "options", "mode"), KINDS)
def test_a_large_picture_is_the_mean_of_its_pixels_whatever_its_format(form, options, mode, monkeypatch):
    data = encode(photo(mode, 640, 480), form, **options)
    wanted = np.asarray(EncodedImage(data).decode().reduce((4, 4)), float)
    for module in (shrink_module, image_module):
        monkeypatch.setattr(module, "LARGE_PIXELS", 1000)
    image = EncodedImage(data)
    found = image.decode(least=(150, 110))
    assert found.size == (160, 120)
    assert image.area == pytest.approx((0, 0, 160, 120))
    off = np.asarray(found, float) - wanted
    assert np.abs(off).max() <= 30  # of colours at the edge of what there is, where libwebp averages before it cuts
    assert np.abs(off).mean() < 1
    assert np.abs(off.mean(axis=(0, 1))).max() < 1


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_picture_is_turned_and_its_area_is_where_it_was(form, orientation, small_is_large):
    upright = quarters(198, 130)
    image = EncodedImage(turned(upright, orientation, form, **({"lossless": True} if form == "WEBP" else {})))
    found = image.decode(least=(40, 40))
    left, top, right, bottom = image.area
    assert (image.width, image.height) == (198, 130)
    assert -1 < left <= found.width - (right - left) + 1e-6
    for x, y in [(1, 1), (3, 1), (1, 3), (3, 3)]:
        at = (int(left + (right - left) * x / 4), int(top + (bottom - top) * y / 4))
        wanted = upright.getpixel((198 * x // 4, 130 * y // 4))
        assert np.abs(np.subtract(found.getpixel(at), wanted)).max() <= 12


def test_of_animations_the_first_frame_is_read(small_is_large):
    first, second = Image.new("RGB", (90, 60), "red"), Image.new("RGB", (90, 60), "blue")
    for form in ("WEBP", "AVIF", "GIF"):
        data = encode(first, form, save_all=True, append_images=[second], duration=50)
        found = EncodedImage(data).decode(least=(30, 30))
        assert found.size == (30, 30)
        assert np.abs(np.asarray(found, int) - (255, 0, 0)).max() <= 5


@pytest.mark.parametrize("form", ["WEBP", "AVIF", "PNG", "TIFF", "GIF"])
def test_a_large_picture_that_is_cut_off_is_damaged(form, small_is_large):
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {}
    data = encode(photo("RGB", 640, 480), form, **options)
    with pytest.raises(InvalidImageError):
        EncodedImage(data[: len(data) * 2 // 3]).decode(least=(100, 100))


# What it takes --------------------------------------------------------------------------------------------------

_PEAK = """
import sys
from pathlib import Path
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess
from PIL import Image
def kib(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
Image.new("RGB", (64, 64)).resize((32, 32))
data, before = Path(sys.argv[1]).read_bytes(), kib("VmRSS")
pixels, frame = preprocess(EncodedImage(data), PreprocessSpec(resize="squash", width=480, height=352))
assert (frame.image_width, frame.image_height) == (7000, 7000)
print((kib("VmHWM") - before) // 1024)
"""
_LARGE = [
    ("PNG", "RGBA", {}),
    ("PNG", "LA", {}),
    ("PNG", "I;16", {}),
    ("GIF", "P", {"transparency": 0}),
    ("TIFF", "CMYK", {"compression": "tiff_lzw"}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {"quality": 5, "method": 0}),
    ("AVIF", "RGBA", {"quality": 1, "speed": 10}),
    ("JPEG", "RGB", {"progressive": True}),
]


@pytest.mark.parametrize(("form", "mode", "options"), _LARGE)
def test_decoding_49_megapixels_takes_at_most_300_mib(form, mode, options, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(encode(Image.new(mode, (7000, 7000)), form, **options))
    ran = subprocess.run([sys.executable, "-c", _PEAK, path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    print(form, mode, ran.stdout)
    assert int(ran.stdout) <= 300


def one_strip(side: int) -> bytes:
    picture = Image.new("RGB", (side, side))
    return encode(picture, "TIFF", compression="tiff_adobe_deflate", strip_size=3 * side * side)


def test_what_would_take_more_is_refused_with_the_limit_before_it_is_decoded():
    frames = encode(
        Image.new("RGB", (5000, 5000), "red"),
        "WEBP",
        save_all=True,
        append_images=[Image.new("RGB", (5000, 5000), "blue")],
        lossless=True,
    )
    for data in (one_strip(7000), encode(Image.new("CMYK", (7000, 7000)), "JPEG", progressive=True), frames):
        with pytest.raises(ImageTooLargeError, match="the limit is 300000000") as caught:
            EncodedImage(data).decode(least=(960, 704))
        assert caught.value.metadata["limit_memory_bytes"] == "300000000"
        raised = ImageLimits(max_pixels=200_000_000)
        assert EncodedImage(data, raised).decode(least=(960, 704)).width >= 960


def test_small_limits_of_pixels_leave_memory_for_any_format():
    data = encode(photo("RGBA", 100, 80), "WEBP")
    assert EncodedImage(data, ImageLimits(max_pixels=8000)).decode().size == (100, 80)


# The look at the header -----------------------------------------------------------------------------------------


def gif_of(screen: int, frame: int) -> bytes:
    """A GIF whose frame is larger than its screen."""
    data = bytearray(encode(Image.new("P", (frame, frame)), "GIF"))
    data[6:10] = struct.pack("<HH", screen, screen)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "at_least"),
    [
        (lambda: encode(Image.new("RGB", (5000, 4000)), "PNG"), 80e6),
        (lambda: encode(Image.new("L", (5000, 4000)), "PNG"), 20e6),
        (lambda: encode(Image.new("P", (5000, 4000)), "GIF"), 20e6),
        (lambda: encode(Image.new("RGB", (5000, 4000)), "TIFF", compression="tiff_lzw"), 80e6),
        (lambda: encode(Image.new("RGB", (5000, 4000)), "AVIF", speed=10), 200e6),
        (lambda: webp_vp8l(5000, 4000), 300e6),
        (lambda: jpeg_of_scans(3, 8192, 6144), 100e6),
        (lambda: b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 5000, -4000, 1, 24) + bytes(24), 80e6),
        (lambda: encode(Image.new("RGB", (30_000, 1000)), "JPEG"), 120e6),  # too flat to be decoded smaller
    ],
)
def test_the_header_tells_what_a_large_picture_takes(data, at_least):
    assert at_least <= decode_weight(data(), SPEC) <= 2 * at_least + 150e6


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_ordinary_pictures_are_not_large(form):
    assert 0 < decode_weight(encode(quarters(1000, 700), form), SPEC) < LARGE_BYTES


def test_a_photograph_of_49_megapixels_is_not_large_as_jpeg():
    data = encode(Image.new("RGB", (7000, 7000)), "JPEG")
    assert decode_weight(data, SPEC) < LARGE_BYTES
    assert decode_weight(data, PreprocessSpec(resize="squash", width=2048, height=1024)) >= 4 * 49e6


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"II", b"MM\0*", b"GIF89a", b"BM", b"\x89PNG\r\n\x1a\n"]
)
def test_headers_that_are_cut_off_weigh_nothing(data):
    assert decode_weight(data, SPEC) == 0


def test_odd_headers_are_taken_for_large():
    assert decode_weight(b"MM\0+" + bytes(60), SPEC) > LARGE_BYTES  # a BigTIFF
    assert decode_weight(b"\0\0\0\x20ftypavif" + bytes(60), SPEC) > LARGE_BYTES


def test_a_picture_that_is_larger_than_its_header_says_is_refused():
    """A PNG with two headers, of which Pillow takes the second."""
    rows = bytes(1 + 3 * 7000) * 7000
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 7000, 7000, 8, 2, 0, 0, 0))
    data = png((8, 8), 8, 2, rows, second)
    weight = decode_weight(data, SPEC)
    assert weight < LARGE_BYTES
    with pytest.raises(InvalidImageError, match="more than one size"):
        EncodedImage(data, ImageLimits(), weight).decode()
    assert EncodedImage(gif_of(10, 50), ImageLimits(), decode_weight(gif_of(10, 50), SPEC)).decode().size


def test_tags_of_a_tiff_that_are_no_numbers_are_damage():
    data = tiff({256: 64, 257: 64, 258: 8, 259: 5, 262: 1, 273: -1, 277: 1, 278: 64, 279: 10}, bytes(10))
    bad = data.replace(struct.pack("<HHI", 278, 4, 1), struct.pack("<HHI", 278, 2, 1))  # rows as a text
    with pytest.raises(InvalidImageError):
        EncodedImage(bad).decode()
