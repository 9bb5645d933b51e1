"""Memory and CPU of one large picture of each kind, from its bytes to the pixels of a model.

    python -m benchmarks.picture_memory [NAME ...]

Each picture is decoded in a process of its own: its peak of resident memory above what it had before, and its CPU.
"""

import io
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 7000  # 49 megapixels, just within the default limit
# First column, first row, and the steps of each pass of an interlaced PNG.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def photo(mode: str = "RGB", side: int = SIDE) -> Image.Image:
    """Smooth noise, so that files are neither trivial nor larger than the limit on bytes."""
    small = np.random.default_rng(0).integers(0, 256, (side // 100, side // 100, 4), np.uint8)
    picture = Image.fromarray(small, "RGBA").resize((side, side), Image.Resampling.BILINEAR)
    return picture if mode == "RGBA" else picture.convert("RGB").convert(mode)


def _saved(form: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        file = io.BytesIO()
        photo(mode).save(file, form, **options)
        return file.getvalue()

    return make


def _flat(form: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        file = io.BytesIO()
        Image.new(mode, (SIDE, SIDE)).save(file, form, **options)
        return file.getvalue()

    return make


def _gray_16(form: str, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        file = io.BytesIO()
        values = np.repeat(np.arange(SIDE, dtype=np.uint16)[None] * 9, SIDE, axis=0)
        Image.fromarray(values).save(file, form, **options)
        return file.getvalue()

    return make


def _png(depth: int, colour: int, interlace: int) -> Callable[[], bytes]:
    """A black PNG of this depth and colour type, whose rows compress to nothing."""

    def make() -> bytes:
        import zlib

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
        passes = [(SIDE, SIDE)]
        if interlace:
            starts = [
                (0, 0, 8, 8),
                (4, 0, 8, 8),
                (0, 4, 4, 8),
                (2, 0, 4, 4),
                (0, 2, 2, 4),
                (1, 0, 2, 2),
                (0, 1, 1, 2),
            ]
            passes = [((SIDE - x + dx - 1) // dx, (SIDE - y + dy - 1) // dy) for x, y, dx, dy in starts]
        packer, out = zlib.compressobj(1), []
        for width, height in passes:
            row = bytes(1 + (width * channels * depth + 7) // 8)
            out += [packer.compress(row) for _ in range(height)]
        data = b"".join(out) + packer.flush()
        head = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, interlace)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")

    return make


def _turned(form: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(form, mode, exif=exif, **options)


def _frames(form: str, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        file, first = io.BytesIO(), Image.new("RGB", (SIDE, SIDE), "red")
        first.save(file, form, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE), "blue")], **options)
        return file.getvalue()

    return make


def _bmp_rle() -> bytes:
    """8 bits with run lengths: each row is runs of 250 pixels of one colour."""
    row = b"".join(bytes([250, at % 2]) for at in range(SIDE // 250)) + b"\0\0"
    data, palette = row * SIDE + b"\0\1", bytes(4 * 256)
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


CASES: Mapping[str, Callable[[], bytes]] = {
    "JPEG": _saved("JPEG", quality=70),
    "JPEG progressive 4:2:0": _saved("JPEG", quality=70, progressive=True),
    "JPEG progressive 4:4:4": _saved("JPEG", quality=60, progressive=True, subsampling=0),
    "JPEG progressive CMYK": _saved("JPEG", "CMYK", quality=50, progressive=True),
    "JPEG turned": _turned("JPEG", quality=70),
    "MPO": _frames("MPO", quality=50),
    "PNG": _flat("PNG"),
    "PNG RGBA": _flat("PNG", "RGBA"),
    "PNG gray and alpha": _png(8, 4, 0),
    "PNG palette": _flat("PNG", "P"),
    "PNG palette transparent": _flat("PNG", "P", transparency=0),
    "PNG one bit": _flat("PNG", "1"),
    "PNG RGB 16 bit": _png(16, 2, 0),
    "PNG RGBA 16 bit": _png(16, 6, 0),
    "PNG gray 16 bit": _gray_16("PNG"),
    "PNG interlaced": _png(8, 2, 1),
    "PNG turned": _turned("PNG", "RGBA"),
    "GIF": _flat("GIF", "P"),
    "GIF transparent": _flat("GIF", "P", transparency=0),
    "GIF frames": _frames("GIF"),
    "TIFF deflate": _flat("TIFF", compression="tiff_adobe_deflate"),
    "TIFF one strip": _flat("TIFF", compression="tiff_adobe_deflate", strip_size=SIDE * SIDE * 3),
    "TIFF one strip RGBA": _flat("TIFF", "RGBA", compression="tiff_lzw", strip_size=SIDE * SIDE * 4),
    "TIFF fax": _flat("TIFF", "1", compression="group4"),
    "TIFF pages": _frames("TIFF", compression="tiff_adobe_deflate"),
    "TIFF gray 16 bit": _gray_16("TIFF", compression="tiff_adobe_deflate"),
    "TIFF JPEG": _saved("TIFF", compression="jpeg"),
    "TIFF CMYK": _flat("TIFF", "CMYK", compression="tiff_adobe_deflate"),
    "TIFF turned": _turned("TIFF", "RGB", compression="tiff_adobe_deflate"),
    "WebP": _saved("WEBP", quality=20, method=0),
    "WebP lossless": _flat("WEBP", lossless=True),
    "WebP alpha": _saved("WEBP", "RGBA", quality=20, method=0),
    "WebP lossless alpha": _flat("WEBP", "RGBA", lossless=True, exact=True),
    "WebP frames": _frames("WEBP", lossless=True),
    "AVIF": _flat("AVIF", quality=1, speed=10),
    "AVIF 4:4:4": _saved("AVIF", quality=20, speed=10, subsampling="4:4:4"),
    "AVIF alpha": _flat("AVIF", "RGBA", quality=1, speed=10),
    "AVIF frames": _frames("AVIF", quality=1, speed=10),
    "BMP RLE": _bmp_rle,
}


def memory_mib(key: str) -> float:
    """A line of /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def child(path: str) -> None:
    """Decode one file and print: peak MiB above before, seconds of CPU, what came of it."""
    from trunkline.core.errors import TrunklineError
    from trunkline.core.images import EncodedImage
    from trunkline.core.preprocess import PreprocessSpec, preprocess

    spec = PreprocessSpec(resize="squash", width=480, height=352)
    warm = io.BytesIO()
    Image.new("RGB", (64, 64)).save(warm, "PNG")
    preprocess(EncodedImage(warm.getvalue()), spec)
    data = Path(path).read_bytes()
    before, started = memory_mib("VmRSS"), time.process_time()
    try:
        pixels, _ = preprocess(EncodedImage(data), spec)
        end = f"mean {pixels.mean():.1f}"
    except TrunklineError as error:
        end = f"{type(error).__name__}: {error.message}"
    print(f"{memory_mib('VmHWM') - before:.0f}|{time.process_time() - started:.2f}|{end}")


def main(names: list[str]) -> None:
    print("| picture | bytes | peak MiB | CPU s | |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        for name, make in CASES.items():
            if names and not any(each in name for each in names):
                continue
            try:
                path.write_bytes(make())
            except Exception as error:  # an encoder that this build of Pillow has not
                print(f"| {name} | | | | cannot be made: {error} |", flush=True)
                continue
            command = [sys.executable, "-m", "benchmarks.picture_memory", "--child", str(path)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            peak, cpu, end = (ran.stdout.strip() or f"||{ran.stderr.strip()[-200:]}").split("|", 2)
            print(f"| {name} | {path.stat().st_size:,} | {peak} | {cpu} | {end} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main(sys.argv[1:])
