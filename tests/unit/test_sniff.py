"""Headers tell what a picture costs before Pillow opens it."""

import pytest

from tests.unit.pictures import encode, jpeg_of_scans, quarters, webp_vp8, webp_vp8l, webp_vp8x
from trunkline.core.sniff import declared_size, scan_count


@pytest.mark.parametrize("size", [(1, 1), (96, 64), (16383, 2), (3, 16383)])
@pytest.mark.parametrize("make", [webp_vp8x, webp_vp8l, webp_vp8])
def test_a_webp_header_tells_its_size(make, size):
    assert declared_size(make(*size)) == size


def test_the_size_of_an_extended_webp_has_24_bits():
    assert declared_size(webp_vp8x(16_777_216, 70_000)) == (16_777_216, 70_000)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}]
)
def test_what_pillow_writes_has_the_size_that_the_header_tells(options):
    assert declared_size(encode(quarters(), "WEBP", **options)) == (96, 64)


def test_a_whole_webp_may_be_shorter_than_a_lossy_header():
    assert len(webp_vp8l(16384, 16384)) == 28
    assert declared_size(webp_vp8l(16384, 16384)) == (16384, 16384)


@pytest.mark.parametrize("make", [webp_vp8x, webp_vp8l, webp_vp8])
def test_a_webp_header_cut_short_tells_nothing(make):
    whole = make(96, 64)
    assert all(declared_size(whole[:length]) is None for length in range(25))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 40, b"\xff\xd8\xff" + b"\0" * 60])
def test_other_files_tell_no_size(data):
    assert declared_size(data) is None


def test_other_formats_tell_no_size():
    assert {declared_size(encode(quarters(), form)) for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF")} == {None}


def test_the_scans_of_a_jpeg_are_counted():
    assert scan_count(encode(quarters(), "JPEG")) == 1
    assert 3 <= scan_count(encode(quarters(), "JPEG", progressive=True)) <= 12
    assert scan_count(jpeg_of_scans(250, 64, 64)) == 250


def test_bytes_that_only_look_like_a_scan_are_not_counted():
    photograph = encode(quarters(), "JPEG")
    assert scan_count(photograph + b"\xff\xda\x12\x34" * 500) == 1
    assert scan_count(b"\x89PNG" + b"\xff\xda\x00\x08\x01" * 500) == 0
