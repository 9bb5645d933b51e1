"""Pictures made for the tests."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# What turns an upright picture into the one that is stored with this EXIF orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
RED, GREEN, BLUE, GOLD = (200, 30, 30), (30, 160, 40), (20, 40, 190), (220, 200, 60)


def encode(picture: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Four plain quarters, red, green, blue and gold, so that every turn and mirror shows."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(GOLD, (width // 2, height // 2, width, height))
    return picture


def corners(picture: Image.Image) -> list[tuple[int, ...]]:
    """Colours in the middle of the four quarters, in the order of `quarters`."""
    w, h = picture.size
    return [picture.getpixel((x * w // 4, y * h // 4)) for y in (1, 3) for x in (1, 3)]


def near(found, wanted, tolerance: float) -> bool:
    return bool(np.abs(np.asarray(found, float) - np.asarray(wanted, float)).max() <= tolerance)


def turned(upright: Image.Image, orientation: int, form: str, **options) -> bytes:
    """`upright` stored the way that needs this EXIF orientation to be upright again."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    return encode(stored, form, exif=exif, **options)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    size: tuple[int, int], depth: int, colour_type: int, rows: bytes, *extra: bytes, behind: bytes = b""
) -> bytes:
    """A PNG of raw rows (each with its filter byte), with chunks before and behind the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + behind + chunk(b"IEND", b"")


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """A little-endian TIFF of one IFD; tags 273 and 324, the place of the data, are filled in where they are -1."""
    start = 8
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, start if value == -1 else value) for tag, value in sorted(tags.items())
    )
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", start + len(data)) + data + ifd


def webp(chunk_name: bytes, body: bytes) -> bytes:
    content = b"WEBP" + chunk_name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def webp_vp8x(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X", b"\0\0\0\0" + sizes)


def webp_vp8l(width: int, height: int) -> bytes:
    """A whole lossless WebP of one colour, in 28 bytes whatever its size."""
    size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return webp(b"VP8L", b"\x2f" + size + int("0001" * 5 + "000", 2).to_bytes(3, "little"))


def webp_vp8(width: int, height: int) -> bytes:
    """The header of a lossy WebP; its pixels are missing."""
    return webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 8)


def jpeg_of_scans(scans: int, width: int = 8192, height: int = 6144) -> bytes:
    """A valid progressive JPEG with any number of scans, each in under 100 bytes."""

    def segment(marker: int, data: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data

    runs, rest = divmod((width // 8) * (height // 8), 16384)
    bits = ("0" + "0" * 14) * runs + "10" * min(rest, 8)
    bits += "1" * (-len(bits) % 8)
    pixels = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    tables = segment(0xC4, b"\x10" + bytes([1, 1] + [0] * 14) + b"\xe0\0")
    return b"\xff\xd8" + head + tables + (segment(0xDA, b"\1\1\0\1\x3f\0") + pixels) * scans + b"\xff\xd9"
