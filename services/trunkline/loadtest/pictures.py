"""What is sent: pictures of files, or made ones, and how to make each picture of a run one that was never seen."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trunkline.client import encode_image
from trunkline.core.errors import ConfigurationError

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END = 33  # signature, length, IHDR, 13 bytes, checksum
_SIZE = (500, 375)


def made_pictures(count: int, seed: int = 0) -> list[bytes]:
    """`count` different RGB JPEGs of 500x375, about as large as photographs: smooth colours with some noise."""
    return [_made(np.random.default_rng((seed, index))) for index in range(count)]


def read_pictures(paths: Sequence[Path]) -> list[bytes]:
    """The bytes of files as they are, each content once. Raises OSError where one cannot be read, ServiceError where
    one is larger than a message may be."""
    return list(dict.fromkeys(map(encode_image, paths)))


def marked(data: bytes, mark: bytes) -> bytes:
    """The same picture with other bytes: `mark`, up to 1000 bytes, as a comment of the file.

    JPEG: a COM segment (ITU-T T.81, B.2.4.5) after SOI; PNG: a tEXt chunk after IHDR; WebP: a chunk of a name that
    readers pass over (RFC 9649, section 2.3). Raises ConfigurationError for other formats.
    """
    if data.startswith(_JPEG):
        return b"".join([_JPEG, b"\xff\xfe", struct.pack(">H", len(mark) + 2), mark, data[2:]])
    if data.startswith(_PNG):
        body = b"tEXtComment\0" + mark
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return b"".join([data[:_PNG_HEADER_END], chunk, data[_PNG_HEADER_END:]])
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        end = 8 + int.from_bytes(data[4:8], "little")
        chunk = b"mark" + struct.pack("<I", len(mark)) + mark + bytes(len(mark) % 2)
        return b"".join([b"RIFF", struct.pack("<I", end - 8 + len(chunk)), data[8:end], chunk])
    raise ConfigurationError(
        "only JPEG, PNG and WebP pictures can be made unique: leave others out, or go without --unique"
    )


def endless(pictures: Sequence[bytes], start: int, mark: bytes | None) -> Iterator[bytes]:
    """Pictures in turn, from place `start` on; with a `mark`, which no other run or process has, each one unique."""
    for number in itertools.count(start):
        picture = pictures[number % len(pictures)]
        yield picture if mark is None else marked(picture, b"%s-%d" % (mark, number))


def _made(rng: np.random.Generator) -> bytes:
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    smooth = np.asarray(coarse.resize(_SIZE, Image.Resampling.BICUBIC), np.int16)  # (H, W, 3)
    noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)  # (H, W, 3)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
