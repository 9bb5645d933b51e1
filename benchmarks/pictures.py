"""Distinct JPEGs of the size of an ordinary web photograph, made from the sample pictures."""

import io
import random
from pathlib import Path

from PIL import Image

SAMPLES = Path(__file__).parents[1] / "tests/samples"
SIZE = (500, 375)


def distinct_jpegs(count: int, seed: int = 0) -> list[bytes]:
    """`count` different 500x375 RGB JPEGs, quality 90: random crops of the samples, every second one mirrored."""
    rng = random.Random(seed)
    photos = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    return [_variant(photos[index % len(photos)], rng) for index in range(count)]


def _variant(photo: Image.Image, rng: random.Random) -> bytes:
    share = rng.uniform(0.6, 0.95)
    width = min(photo.width, photo.height * SIZE[0] / SIZE[1]) * share
    height = width * SIZE[1] / SIZE[0]
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    crop = photo.resize(SIZE, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
