"""The decode path against Pillow's full decode, alone and in the bare loop. Command: `python -m benchmarks.decode`.

The loop decodes, runs the backbone and the head, and has a thread for each core. The baseline opens the picture with
Pillow, decodes all of it and resizes the same part of it with the same filter. Both are measured in turn.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bare import SharedLoop, rate
from benchmarks.machine import describe
from benchmarks.pictures import distinct_jpegs
from benchmarks.repository import IMAGENET, MODELS
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Frame, PreprocessSpec, preprocess

RESULT = Path(__file__).parent / "results/decode.md"
SIZES = ((500, 375), (640, 480), (1024, 768), (4000, 3000))
_COUNT = {(4000, 3000): 6}  # pictures of a size; 60 unless named


def full_decode(data: bytes, spec: PreprocessSpec) -> tuple[np.ndarray, Frame]:
    """What a plain program does with Pillow, for resize "crop". uint8 (1, H, W, 3), and the frame."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    scale = min(picture.width / spec.width, picture.height / spec.height) * spec.crop_share
    left, top = (picture.width - spec.width * scale) / 2, (picture.height - spec.height * scale) / 2
    box = (left, top, left + spec.width * scale, top + spec.height * scale)
    pixels = np.asarray(picture.resize((spec.width, spec.height), Image.Resampling.BICUBIC, box=box))
    frame = Frame(picture.width, picture.height, scale, left, scale, top, spec.width, spec.height)
    return pixels[np.newaxis], frame


class FullDecodeLoop(SharedLoop):
    """The bare loop with Pillow's full decode."""

    def pixels(self, item: bytes, spec: PreprocessSpec) -> tuple[np.ndarray, Frame]:
        return full_decode(item, spec)


def pictures(size: tuple[int, int]) -> list[bytes]:
    """Distinct JPEGs of (width, height), quality 90."""
    made = distinct_jpegs(_COUNT.get(size, 60), seed=3)
    return made if size == (500, 375) else [_at(data, size) for data in made]


def _at(data: bytes, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def alone_ms(prepare: Callable[[bytes], object], data: list[bytes]) -> float:
    """CPU milliseconds a picture on one thread: the median over the pictures."""
    took = []
    for each in data:
        started_at = time.thread_time()
        prepare(each)
        took.append((time.thread_time() - started_at) * 1000)
    return statistics.median(took)


def row(size: tuple[int, int], seconds: float, repeats: int) -> str:
    ours, full = SharedLoop(MODELS, [IMAGENET]), FullDecodeLoop(MODELS, [IMAGENET])
    spec, data = PreprocessSpec(crop_share=0.875), pictures(size)
    found = []
    for _ in range(repeats):
        alone_full = alone_ms(lambda each: full_decode(each, spec), data)
        alone_ours = alone_ms(lambda each: preprocess(EncodedImage(each), spec), data)
        (rate_full, cpu_full), (rate_ours, cpu_ours) = (rate(loop.answer, data, seconds) for loop in (full, ours))
        found.append((alone_full, alone_ours, rate_full, rate_ours, rate_ours / rate_full, cpu_full / cpu_ours))
    cells = [_spread(values, 1 if index in (2, 3) else 2) for index, values in enumerate(zip(*found, strict=True))]
    return f"| {size[0]}x{size[1]} | {' | '.join(cells)} |"


def _spread(values: tuple[float, ...], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one loop")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    lines = [
        "# Decode path against Pillow's full decode",
        "",
        f"- machine: {describe()}",
        f"- command: `python -m benchmarks.decode`, {datetime.now(UTC):%Y-%m-%d}; {options.seconds:g} s a loop, "
        f"{options.repeats} repeats in turn",
        "- figures: median and (lowest to highest); JPEG quality 90, to 224x224",
        "- ms: CPU of decode and resize on one thread",
        "- ratio by time: images/s; by CPU: images for a second of CPU, which other load disturbs less",
        "",
        "| JPEG | full decode ms | this ms | loop with full decode, images/s | loop with this, images/s "
        "| ratio by time | ratio by CPU |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for size in SIZES:
        lines.append(row(size, options.seconds, options.repeats))
        print(lines[-1], file=sys.stderr)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
