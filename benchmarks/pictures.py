"""What is sent: distinct JPEGs of the size of an ordinary web photograph, the same as pixels, and bad ones."""

import io
import random
from functools import cache
from pathlib import Path

from PIL import Image

from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess

SAMPLES = Path(__file__).parents[1] / "tests/samples"
SIZE = (500, 375)
_PIXELS = PreprocessSpec(crop_share=0.875)


@cache
def items_for(given: str, count: int, seed: int = 0) -> list[bytes]:
    """`count` distinct items: "jpeg", 500x375; "pixels", uint8 (1, 224, 224, 3) as bytes; "tiny", JPEGs of 32x32."""
    if given == "pixels":
        return [_pixels(data) for data in distinct_jpegs(count, seed)]
    return distinct_jpegs(count, seed, (32, 32) if given == "tiny" else SIZE)


@cache
def distinct_jpegs(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> list[bytes]:
    """`count` different RGB JPEGs, quality 90: random crops of the samples, about every second one mirrored."""
    rng = random.Random(seed)
    photos = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    return [_variant(photos[index % len(photos)], rng, size) for index in range(count)]


@cache
def bad_pictures() -> dict[str, bytes]:
    """By name: bytes that are no picture, and a JPEG that was cut off in the middle."""
    whole = distinct_jpegs(1, seed=99)[0]
    return {"no picture": bytes(range(256)) * 40, "cut off": whole[: len(whole) // 2]}


def _pixels(data: bytes) -> bytes:
    return preprocess(EncodedImage(data), _PIXELS)[0].tobytes()


def _variant(photo: Image.Image, rng: random.Random, size: tuple[int, int]) -> bytes:
    share = rng.uniform(0.6, 0.95)
    width = min(photo.width, photo.height * size[0] / size[1]) * share
    height = width * size[1] / size[0]
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    crop = photo.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
