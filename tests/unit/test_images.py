"""Encoded bytes become upright 8-bit RGB, or are refused with one line, whatever they are."""

import contextlib
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import AvifImagePlugin, Image

from tests.unit.pictures import (
    BLUE,
    GOLD,
    GREEN,
    RED,
    chunk,
    corners,
    encode,
    jpeg_of_scans,
    near,
    png,
    quarters,
    tiff,
    turned,
    webp_vp8,
    webp_vp8l,
    webp_vp8x,
)
from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.images import FORMATS, EncodedImage, ImageLimits, decode_image, to_rgb
from trunkline.core.jpeg_end import with_end

# The module itself silences Pillow for the process; pytest sets its own filters for each test.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

QUARTERS = [RED, GREEN, BLUE, GOLD]
LOSSY = {"JPEG": 12, "AVIF": 12, "WEBP": 12, "GIF": 8}


@pytest.mark.parametrize("form", FORMATS)
def test_every_documented_format_is_read(form):
    image = EncodedImage(encode(quarters(), form))
    assert (image.width, image.height) == (96, 64)
    picture = image.decode()
    assert picture.mode == "RGB"
    assert picture.size == (96, 64)
    assert near(corners(picture), QUARTERS, LOSSY.get(form, 0))


@pytest.mark.parametrize("form", ["ICO", "PPM", "TGA", "PCX", "SGI"])
def test_a_format_that_is_not_documented_is_refused(form):
    with pytest.raises(InvalidImageError, match="send JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF"):
        decode_image(encode(quarters(), form))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_turned_picture_comes_out_upright(form, orientation):
    # AVIF keeps no EXIF orientation: Pillow writes it as rotation and mirror boxes, and reads those.
    image = EncodedImage(turned(quarters(), orientation, form))
    assert (image.width, image.height) == (96, 64)
    picture = image.decode()
    assert picture.size == (96, 64)
    assert near(corners(picture), QUARTERS, LOSSY.get(form, 0))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_illegal_orientation_is_taken_as_upright(form, orientation):
    assert near(corners(decode_image(turned(quarters(), orientation, form))), QUARTERS, LOSSY.get(form, 0))


def test_damaged_exif_costs_nothing_but_itself():
    picture = decode_image(encode(quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12no IFD at all"))
    assert near(corners(picture), QUARTERS, 12)
    assert near(corners(decode_image(encode(quarters(), "PNG", exif=b"Exif\0\0garbage"))), QUARTERS, 0)


def test_the_exif_of_a_png_may_stand_behind_its_pixels():
    exif = Image.Exif()
    exif[0x0112] = 6
    rows = b"".join(b"\0" + bytes([200, 0, 0] * 6 + [0, 0, 200] * 2) for _ in range(4))
    image = EncodedImage(png((8, 4), 8, 2, rows, behind=chunk(b"eXIf", exif.tobytes()[6:])))
    assert (image.width, image.height) == (4, 8)
    picture = image.decode()
    assert (picture.getpixel((0, 0)), picture.getpixel((0, 7))) == ((200, 0, 0), (0, 0, 200))


def test_an_orientation_in_the_xmp_of_a_tiff_does_not_change_the_size_after_it_was_told():
    image = EncodedImage(encode(quarters(), "TIFF", tiffinfo={700: b'<x tiff:Orientation="6">'}))
    assert image.decode().size == (image.width, image.height) == (96, 64)


# Modes


def test_a_cmyk_jpeg_is_converted():
    assert near(corners(decode_image(encode(quarters().convert("CMYK"), "JPEG", quality=95))), QUARTERS, 12)


@pytest.mark.parametrize(
    ("form", "mode"), [("TIFF", "CMYK"), ("TIFF", "P"), ("PNG", "P"), ("BMP", "P"), ("TIFF", "YCbCr")]
)
def test_other_colour_modes_are_converted(form, mode):
    flat = quarters().quantize(8) if mode == "P" else quarters().convert(mode)
    assert near(corners(decode_image(encode(flat, form))), QUARTERS, 8)


@pytest.mark.parametrize("form", FORMATS)
def test_gray_has_three_equal_channels(form):
    picture = decode_image(encode(Image.new("L", (40, 30), 90), form))
    assert picture.mode == "RGB"
    assert near(picture.getpixel((20, 15)), (90, 90, 90), 2)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_one_bit_is_black_and_white(form):
    picture = Image.new("1", (9, 2), 1)
    picture.putpixel((3, 1), 0)
    found = decode_image(encode(picture, form))
    assert (found.getpixel((3, 1)), found.getpixel((4, 1))) == ((0, 0, 0), (255, 255, 255))


RAMP = np.array([[0, 128, 129, 257, 1000, 32768, 65278, 65535]], np.uint16)
RAMP_8 = [0, 0, 1, 1, 4, 128, 254, 255]


@pytest.mark.parametrize(("form", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_16_bit_gray_is_scaled_and_not_clipped(form, mode):
    order = ">u2" if mode == "I;16B" else "<u2"
    picture = Image.frombytes(mode, (8, 1), RAMP.astype(order).tobytes())
    found = np.asarray(decode_image(encode(picture, form)))
    assert found.shape == (1, 8, 3)
    assert found[0, :, 0].tolist() == RAMP_8
    assert (found == found[..., :1]).all()


def test_16_bit_rgb_and_alpha_are_scaled():
    def sample(value):
        return struct.pack(">H", value)

    rgb = png((2, 1), 16, 2, b"\0" + sample(65535) + sample(32896) + sample(0) + sample(257) * 3)
    assert np.asarray(decode_image(rgb)).tolist() == [[[255, 128, 0], [1, 1, 1]]]
    gray_alpha = png((2, 1), 16, 4, b"\0" + sample(0) + sample(65535) + sample(0) + sample(0))
    assert np.asarray(decode_image(gray_alpha)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


GRAY_TIFF = {256: 2, 257: 1, 259: 1, 273: -1, 277: 1, 278: 1}


def test_a_12_bit_tiff_is_scaled_from_12_bits():
    data = tiff(GRAY_TIFF | {258: 12, 262: 1, 279: 3}, bytes([0xFF, 0xF8, 0x00]))  # 4095, 2048
    assert np.asarray(decode_image(data))[0, :, 0].tolist() == [255, 128]


def test_a_16_bit_tiff_with_0_for_white_is_inverted():
    data = tiff(GRAY_TIFF | {258: 16, 262: 0, 279: 4}, struct.pack("<HH", 0, 65535))
    assert np.asarray(decode_image(data))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_a_defined_range_are_refused(mode):
    with pytest.raises(InvalidImageError, match="send 8 or 16 bits"):
        decode_image(encode(Image.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_over_white(form):
    picture = Image.new("RGBA", (32, 32), (200, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 16, 16))
    picture.paste((0, 0, 0, 128), (16, 16, 32, 32))
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    found = decode_image(encode(picture, form, **options))
    points = [found.getpixel(at) for at in ((4, 4), (20, 4), (20, 20))]
    assert near(points, [(255, 255, 255), (200, 0, 0), (127, 127, 127)], 1)


def test_gray_with_alpha_lies_over_white():
    found = decode_image(encode(Image.merge("LA", (Image.new("L", (2, 1), 10), Image.new("L", (2, 1), 0))), "PNG"))
    assert found.getpixel((0, 0)) == (255, 255, 255)


def test_a_transparent_palette_lies_over_white():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    for transparency in (1, b"\xff\x00"):
        found = decode_image(encode(picture, "PNG", transparency=transparency))
        assert [found.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]
    half = decode_image(encode(picture, "PNG", transparency=b"\xff\x80"))
    assert near(half.getpixel((1, 0)), (147, 152, 157), 1)
    assert decode_image(encode(picture, "GIF", transparency=1)).getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "key", "other"),
    [
        (1, 0, b"\x40", b"\0\0", 255),
        (2, 0, b"\x60", b"\0\1", 170),
        (4, 0, b"\x5a", b"\0\5", 170),
        (8, 0, b"\x05\xaa", b"\0\5", 170),
        (16, 0, b"\x12\x34\x80\x80", b"\x12\x34", 128),
        (8, 2, b"\1\2\3\x80\x80\x80", b"\0\1\0\2\0\3", 128),
        (16, 2, b"\x12\x34" * 3 + b"\x80\x80" * 3, b"\x12\x34" * 3, 128),
    ],
)
def test_the_transparent_colour_of_a_png_becomes_white_at_every_depth(depth, colour_type, row, key, other):
    found = decode_image(png((2, 1), depth, colour_type, b"\0" + row, chunk(b"tRNS", key)))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (other, other, other)]


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "RGBX", "RGBa", "PA", "LA"])
def test_whatever_pillow_may_open_becomes_rgb(mode):
    picture = Image.new("L", (3, 2), 9).convert("P").convert("PA") if mode == "PA" else Image.new(mode, (3, 2))
    assert to_rgb(picture).mode == "RGB"


@pytest.mark.parametrize(("form", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_the_first_frame_or_page_counts(form, options):
    first, second = Image.new("RGB", (20, 10), RED), Image.new("RGB", (20, 10), BLUE)
    data = encode(first, form, save_all=True, append_images=[second], **options)
    assert decode_image(data).getpixel((5, 5)) == RED


def test_the_first_picture_of_an_mpo_counts():
    data = encode(
        Image.new("RGB", (64, 32), RED), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 32), BLUE)]
    )
    assert near(decode_image(data).getpixel((5, 5)), RED, 6)
    assert EncodedImage(data).decode((16, 8)).size == (16, 8)


# Limits


def test_bytes_over_the_limit_are_refused_with_both_numbers():
    with pytest.raises(ImageTooLargeError, match="has 101 bytes; the limit is 100") as caught:
        EncodedImage(b"x" * 101, ImageLimits(max_bytes=100))
    assert caught.value.metadata == {"bytes": "101", "limit_bytes": "100"}


@pytest.mark.parametrize("form", FORMATS)
def test_pixels_over_the_limit_are_refused_and_at_the_limit_taken(form):
    data = encode(quarters(), form)
    assert decode_image(data, ImageLimits(max_pixels=96 * 64)).size == (96, 64)
    with pytest.raises(ImageTooLargeError, match="96x64 pixels; the limit is 6143") as caught:
        EncodedImage(data, ImageLimits(max_pixels=96 * 64 - 1))
    assert caught.value.metadata == {"width": "96", "height": "64", "limit_pixels": "6143"}


@pytest.mark.parametrize("data", [webp_vp8x(10_000, 10_000), webp_vp8l(16384, 16384), webp_vp8(16383, 16383)])
def test_a_webp_that_declares_too_much_is_refused_before_it_is_opened(data, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(ImageTooLargeError):
        EncodedImage(data)


def test_a_side_that_would_cost_too_much_to_resize_is_refused():
    assert EncodedImage(png((65_535, 1), 1, 0, b"\0" * 8193)).width == 65_535
    with pytest.raises(ImageTooLargeError, match="65536x1 pixels; the limit for a side is 65535"):
        EncodedImage(png((65_536, 1), 1, 0, b"\0" * 8193))


def tiff_of_one_tile(side: int) -> bytes:
    """16x16 pixels in a tile of side x side."""
    pixels = zlib.compress(bytes(side * side), 9)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: -1, 325: len(pixels)}
    return tiff(tags, pixels)


def test_a_tiff_tile_counts_as_what_is_decoded():
    assert decode_image(tiff_of_one_tile(256)).size == (16, 16)
    with pytest.raises(ImageTooLargeError, match="8000x8000"):
        EncodedImage(tiff_of_one_tile(8000))


def test_a_jpeg_of_endless_scans_is_refused_at_once():
    assert decode_image(jpeg_of_scans(100, 64, 64)).size == (64, 64)
    data, began_at = jpeg_of_scans(20_000), time.thread_time()
    with pytest.raises(ImageTooLargeError, match="20000 scans; the limit is 100"):
        decode_image(data)
    assert time.thread_time() - began_at < 1


@pytest.mark.parametrize("options", [{"progressive": True}, {"progressive": True, "optimize": True, "quality": 95}])
def test_a_progressive_jpeg_is_read(options):
    assert near(corners(decode_image(encode(quarters(), "JPEG", **options))), QUARTERS, 12)


MEASURE = """
import resource, sys
from pathlib import Path
from trunkline.core.errors import ImageTooLargeError
from trunkline.core.images import decode_image
decode_image(Path(sys.argv[1]).read_bytes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        decode_image(Path(path).read_bytes())
    except ImageTooLargeError:
        continue
    sys.exit(f"{path} was decoded")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_too_large_pictures_are_refused_before_pixels_are_allocated(tmp_path):
    bombs = {
        "png": png((30_000, 30_000), 8, 6, b"\0"),
        "gif": encode(Image.new("L", (60_000, 1)), "GIF").replace(
            struct.pack("<HH", 60_000, 1), struct.pack("<HH", 60_000, 60_000)
        ),
        "bmp": encode(Image.new("RGB", (4, 4)), "BMP")[:18]
        + struct.pack("<ii", 30_000, 30_000)
        + b"\1\0\x18\0"
        + b"\0" * 60,
        "tiff": tiff(GRAY_TIFF | {256: 30_000, 257: 30_000, 258: 8, 262: 1, 279: 4}, b"1234"),
        "tile": tiff_of_one_tile(8000),
        "webp": webp_vp8l(16384, 16384),
        "jpeg": jpeg_of_scans(1, 16000, 16000),
    }
    start = tmp_path / "start"
    start.write_bytes(encode(quarters(), "PNG"))
    paths = []
    for name, data in bombs.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, start, *paths], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024, f"{done.stdout} KiB more"


# Damage


def test_nothing_at_all_is_refused():
    with pytest.raises(InvalidImageError, match="empty"):
        EncodedImage(b"")


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, b"<html>404</html>", b"GIF89a"]
)
def test_a_magic_number_is_no_picture(data):
    with pytest.raises(InvalidImageError, match="not a picture that can be read"):
        decode_image(data)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("form", FORMATS)
def test_a_cut_off_picture_is_refused(form, share, samples):
    with Image.open(samples / "chelsea.jpg") as photograph:
        data = encode(photograph.crop((100, 50, 300, 200)), form)
    with pytest.raises(InvalidImageError) as caught:
        decode_image(data[: int(len(data) * share)])
    assert "\n" not in caught.value.message


JPEGS = {
    "baseline": {},
    "gray": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "restarts in rows": {"restart_marker_rows": 1, "subsampling": 0},
    "fine": {"quality": 95, "optimize": True},
}


def jpeg(samples, mode="RGB", **options) -> bytes:
    with Image.open(samples / "chelsea.jpg") as photograph:
        return encode(photograph.crop((100, 50, 305, 203)).convert(mode), "JPEG", **options)


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("least", [None, (40, 40)])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_read(kind, lost, least, samples):
    data = jpeg(samples, **JPEGS[kind])
    whole, lacking = EncodedImage(data), EncodedImage(data[:-lost])
    assert np.array_equal(np.asarray(whole.decode(least)), np.asarray(lacking.decode(least)))
    assert (whole.completed, lacking.completed) == (False, True)
    assert (whole.width, whole.height, whole.area) == (lacking.width, lacking.height, lacking.area)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_pixels_is_refused(kind, samples):
    data = jpeg(samples, **JPEGS[kind])
    starts = [found.start() for found in re.finditer(rb"\xff[\xc4\xda\xd0-\xd7]", data)]
    # Behind the marker of a restart, and where a scan of several begins, the rest looks whole by itself.
    for length in (*starts[::9], *(at + 2 for at in starts[::9]), *range(len(data) - 80, len(data) - 7, 9)):
        with pytest.raises(InvalidImageError):
            decode_image(data[:length])


def test_the_bytes_that_lack_are_not_counted_wrongly(samples):
    with pytest.raises(InvalidImageError, match=r"damaged or cut off: its data ends before its last pixel$"):
        decode_image(jpeg(samples)[:-500])


def test_a_jpeg_without_end_costs_no_more_trials_than_it_is_worth(samples):
    data = jpeg_of_scans(90, 4000, 4000)
    began_at = time.thread_time()
    assert with_end(data[:-2]) is None
    assert with_end(b"\xff\xd8" + b"\xff\xfe\x00\x02" * 1_000_000) is None
    assert time.thread_time() - began_at < 2


def test_a_data_uri_is_told_from_a_picture():
    with pytest.raises(InvalidImageError, match=r"data: URI.*send the bytes"):
        decode_image(b"data:image/png;base64,iVBORw0KGgo=")


@pytest.mark.parametrize("form", FORMATS)
def test_flipped_bytes_are_decoded_or_refused_and_nothing_else(form):
    rng = np.random.default_rng(7)
    whole = encode(quarters(), form)
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] ^= int(rng.integers(1, 256))
        with contextlib.suppress(InvalidImageError, ImageTooLargeError):
            assert decode_image(bytes(data), ImageLimits(max_pixels=1_000_000)).mode == "RGB"


def test_what_stands_behind_a_jpeg_does_not_matter():
    assert near(corners(decode_image(encode(quarters(), "JPEG") + bytes(range(256)) * 20)), QUARTERS, 12)


# Reduced decoding


def test_a_jpeg_is_decoded_at_reduced_scale_but_not_below_what_is_asked():
    data = encode(quarters(1600, 1200), "JPEG")
    assert EncodedImage(data).decode((800, 600)).size == (800, 600)
    assert EncodedImage(data).decode((801, 600)).size == (1600, 1200)
    assert EncodedImage(data).decode((100, 100)).size == (200, 150)
    assert EncodedImage(data).decode((4000, 4000)).size == (1600, 1200)
    assert EncodedImage(data).decode().size == (1600, 1200)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_gray_and_cmyk_jpegs_are_reduced_too(mode):
    assert EncodedImage(encode(quarters(1600, 1200).convert(mode), "JPEG")).decode((300, 300)).size == (400, 300)


def test_a_wide_and_short_jpeg_is_not_reduced_below_its_short_side():
    assert EncodedImage(encode(quarters(5000, 8), "JPEG")).decode((448, 448)).size == (5000, 8)
    assert EncodedImage(encode(quarters(5000, 8), "JPEG")).decode((448, 2)).size == (1250, 2)


def test_other_formats_are_decoded_whole():
    assert EncodedImage(encode(quarters(), "PNG")).decode((8, 8)).size == (96, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_area_says_where_the_picture_lies_in_a_reduced_decode(orientation):
    # 101 x 53 pixels are 12.6 x 6.6 at 1/8: the last pixel is partly empty, and turns with the picture.
    image = EncodedImage(turned(quarters(101, 53), orientation, "JPEG"))
    assert image.area == (0, 0, 101, 53)
    picture = image.decode((8, 4))
    assert picture.size == (13, 7)
    left, top, right, bottom = image.area
    assert (right - left, bottom - top) == (101 / 8, 53 / 8)
    assert left == (0.375 if orientation in (2, 3, 6, 7) else 0)
    assert top == (0.375 if orientation in (3, 4, 7, 8) else 0)


# The process


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone(samples):
    data = (samples / "chelsea.jpg").read_bytes()
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode_image(data) for _ in range(40)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_avif_starts_no_threads_of_its_own():
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1


DECODE = """
import sys
from pathlib import Path
from trunkline.core.images import decode_image
decode_image(Path(sys.argv[1]).read_bytes())
"""


def test_pillow_warns_about_no_picture_in_a_fresh_process(tmp_path):
    path = tmp_path / "damaged-exif.jpg"
    path.write_bytes(encode(quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12"))
    command = [sys.executable, "-W", "default", "-c", DECODE, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
