"""Small pictures of every format that is read, made here."""

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from trunkline.core.raw import pack_pixels

SIZE = (48, 32)


def _photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Colours that run, with noise: no format packs it into nothing."""
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(np.linspace(0, 200, size[0]), np.linspace(0, 200, size[1]))
    pixels = np.stack([x, y, (x + y) / 2], -1) + rng.integers(0, 55, (size[1], size[0], 3))
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (picture or _photo()).save(file, kind, **options)
    return file.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


@cache
def all_formats() -> dict[str, bytes]:
    """By a name that says what is special."""
    photo = _photo()
    several: dict[str, Any] = {"save_all": True, "append_images": [photo.rotate(90), photo.rotate(180)]}
    modes = {mode: photo.convert(mode) for mode in ("L", "1", "P", "RGBA", "CMYK", "LA")}
    found = {
        "jpeg": encoded("JPEG"),
        "jpeg progressive": encoded("JPEG", progressive=True),
        "jpeg gray": encoded("JPEG", modes["L"]),
        "jpeg cmyk": encoded("JPEG", modes["CMYK"]),
        "jpeg turned": _turned(),
        "mpo": encoded("MPO", **several),
        "png": encoded("PNG"),
        "png palette": encoded("PNG", modes["P"]),
        "png alpha": encoded("PNG", modes["RGBA"]),
        "png gray alpha": encoded("PNG", modes["LA"]),
        "png bits": encoded("PNG", modes["1"]),
        "png 16 bits": encoded("PNG", Image.fromarray(np.arange(32 * 48, dtype=np.uint16).reshape(32, 48))),
        "apng": encoded("PNG", **several),
        "webp": encoded("WEBP"),
        "webp lossless": encoded("WEBP", modes["RGBA"], lossless=True),
        "webp several": encoded("WEBP", **several),
        "gif": encoded("GIF"),
        "gif several": encoded("GIF", modes["P"], **several),
        "bmp": encoded("BMP"),
        "bmp palette": encoded("BMP", modes["P"]),
        "avif": encoded("AVIF"),
        "avif alpha": encoded("AVIF", modes["RGBA"]),
        "pixels": pack_pixels(np.asarray(photo)),
        "pixels gray": pack_pixels(np.asarray(modes["L"])),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        found[f"tiff {compression}"] = encoded("TIFF", compression=compression)
    for compression in ("group3", "group4"):
        found[f"tiff {compression}"] = encoded("TIFF", modes["1"], compression=compression)
    return found


PICTURES = (*(all_formats()[name] for name in ("jpeg", "png", "webp", "pixels", "avif")), b"", b"\xff\xd8", b"GIF89a")
