"""Pictures as galleries keep them: the same pixels, and none of the rubbish that came with them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from trunkline.core.errors import InvalidImageError
from trunkline.core.images import decode_image
from trunkline.core.raw import pack_pixels
from trunkline.galleries.cutting import METADATA_BYTES
from trunkline.galleries.pictures import kept_picture

MIB = 1024 * 1024
SHAPES = {"JPEG": {}, "PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "BMP": {}, "TIFF": {}, "AVIF": {}}


@pytest.fixture(scope="module")
def picture(photos) -> Image.Image:
    with Image.open(photos[0]) as opened:
        return opened.convert("RGB").resize((150, 101))


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **{**SHAPES[kind], **options})
    return buffer.getvalue()


def rubbish(count: int) -> bytes:
    return np.random.default_rng(count).bytes(count)


def same(first: bytes, second: bytes) -> bool:
    one, other = decode_image(first), decode_image(second)
    return one.size == other.size and one.tobytes() == other.tobytes()


def turned(picture: Image.Image) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("kind", SHAPES)
def test_a_common_picture_is_kept_byte_by_byte(kind, picture):
    data = encoded(picture, kind)
    assert kept_picture(data) == data


@pytest.mark.parametrize("count", [1, 3_000, 8 * MIB])
@pytest.mark.parametrize("kind", SHAPES)
def test_what_stands_behind_the_end_is_not_kept(kind, count, picture):
    data = encoded(picture, kind)
    kept = kept_picture(data + rubbish(count))
    assert same(kept, data)
    if kind == "TIFF":  # its parts may stand anywhere
        assert len(kept) <= len(data) + METADATA_BYTES
    else:
        assert kept == data


def test_a_second_picture_behind_the_first_is_not_kept(picture):
    data = encoded(picture, "JPEG")
    assert kept_picture(data + encoded(picture.rotate(90), "JPEG", quality=100) * 20) == data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_orientation_stays(kind, picture):
    data = encoded(picture, kind, exif=turned(picture))
    assert decode_image(data).size == (101, 150)
    for given in (data, data + rubbish(2 * MIB), with_much_metadata(data, kind)):
        kept = kept_picture(given)
        assert same(kept, data)
        assert len(kept) < len(data) + METADATA_BYTES + 1000


def with_much_metadata(data: bytes, kind: str) -> bytes:
    """The same picture with 4 MiB of rubbish in parts that decoders leave out."""
    if kind == "JPEG":
        segments = [
            bytes([0xFF, marker]) + struct.pack(">H", 65_002) + rubbish(65_000) for marker in (0xFE, 0xE2, 0xE7)
        ]
        return data[:2] + b"".join(segments) * 22 + data[2:]
    if kind == "PNG":
        chunk = b"ruBb" + rubbish(4 * MIB)
        at = data.index(b"IDAT") - 4
        whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return data[:at] + whole + data[at:]
    if kind == "WEBP":
        body = data[8:] + b"JUNK" + struct.pack("<I", 4 * MIB) + rubbish(4 * MIB)
        return b"RIFF" + struct.pack("<I", len(body)) + body
    return data + struct.pack(">I4s", 8 + 4 * MIB, b"free") + rubbish(4 * MIB)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_metadata_is_bounded(kind, picture):
    data = encoded(picture, kind)
    kept = kept_picture(with_much_metadata(data, kind))
    assert same(kept, data)
    assert len(kept) <= len(data) + 64


def test_profiles_texts_and_comments_of_encoders_are_bounded(picture):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 3_000_000)
    info.add_itxt("XML:com.adobe.xmp", "y" * 3_000_000)
    profile = rubbish(2 * MIB)
    for data in (
        encoded(picture, "PNG", pnginfo=info),
        encoded(picture, "PNG", icc_profile=profile[: 900 * 1024]),
        encoded(picture, "JPEG", icc_profile=profile),
        encoded(picture, "JPEG", comment=b"z" * 60_000, xmp=b"w" * 60_000, icc_profile=profile),
        encoded(picture, "WEBP", icc_profile=profile),
        encoded(picture, "WEBP", xmp=profile),
        encoded(picture, "AVIF", icc_profile=profile),
        encoded(picture, "TIFF", icc_profile=profile),
        encoded(picture, "GIF", comment=b"c" * MIB),
    ):
        kept = kept_picture(data)
        assert same(kept, data)
        assert len(kept) < 3 * picture.width * picture.height + METADATA_BYTES


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_frames_and_pages_behind_the_first_are_bounded(kind, picture):
    noise = np.random.default_rng(0)
    frames = [Image.fromarray(noise.integers(0, 255, (101, 150, 3), np.uint8)) for _ in range(40)]
    data = encoded(picture, kind, save_all=True, append_images=frames)
    kept = kept_picture(data)
    assert same(kept, data)
    assert len(kept) <= 3 * 150 * 101 + METADATA_BYTES < len(data)


def test_pictures_with_transparency_palettes_and_16_bits_stay_as_they_look(picture):
    clear = picture.copy()
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    deep = Image.fromarray((np.arange(150 * 101).reshape(101, 150) * 4).astype(np.uint16))
    for data in (
        encoded(clear, "PNG"),
        encoded(clear, "WEBP"),
        encoded(picture.convert("P"), "GIF", transparency=3),
        encoded(picture.convert("P"), "PNG", transparency=bytes(range(256))),
        encoded(deep, "PNG"),
        encoded(deep, "TIFF"),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(picture.convert("L"), "JPEG", progressive=True),
        encoded(picture.convert("1"), "BMP"),
    ):
        assert same(kept_picture(data + rubbish(3 * MIB)), data)


def test_what_cannot_be_cut_is_never_larger_than_its_pixels(picture):
    data = encoded(picture, "JPEG")
    million = data[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + data[2:]  # empty comments
    no_end = data[:-2] + bytes(8 * MIB)  # decoders need no end
    gap = bytearray(encoded(picture, "BMP"))
    gap[10:14] = struct.pack("<I", 54 + 4 * MIB)
    gap[54:54] = bytes(4 * MIB)
    for odd in (million, no_end, bytes(gap)):
        kept = kept_picture(odd)
        assert same(kept, odd)
        assert len(kept) <= 3 * 150 * 101 + METADATA_BYTES


def test_noise_is_not_made_larger():
    noise = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "PNG")
    assert kept_picture(data + rubbish(MIB)) == data
    packed = pack_pixels(noise)
    assert kept_picture(packed) == packed


def test_damaged_bytes_are_refused_or_kept_within_the_bound(picture):
    random = np.random.default_rng(7)
    for kind in SHAPES:
        data = encoded(picture, kind)
        for _ in range(60):
            odd = bytearray(data + rubbish(200_000))
            for at in random.integers(0, min(len(data), 600), 4):
                odd[at] = random.integers(256)
            try:
                kept = kept_picture(bytes(odd))
            except InvalidImageError:
                continue
            width, height = Image.open(io.BytesIO(odd)).size
            assert len(kept) <= 3 * width * height + METADATA_BYTES + 4096
