"""Messages that are too large, too many, too deep, or none at all."""

import random
import struct
from collections import Counter
from contextlib import closing

from benchmarks.hostile.case import (
    CATALOG,
    GALLERIES,
    INFERENCE,
    TRAINING,
    VISION,
    Case,
    Codes,
    Where,
    ask,
    at_once,
    channel,
    field,
    varint,
)
from benchmarks.pictures import distinct_jpegs

_MIB = 1 << 20
_METHODS = (
    *(VISION + name for name in ("Classify", "Detect", "Segment", "Embed", "Regress", "Compare", "Analyze")),
    *(GALLERIES + name for name in ("CreateGallery", "GetGallery", "SearchGallery", "ListGalleries")),
    *(TRAINING + name for name in ("CreateTrainingJob", "GetTrainingJob", "ListTrainingJobs")),
    *(CATALOG + name for name in ("GetModelVersion", "SetAlias", "ListModels")),
    *(INFERENCE + name for name in ("ModelInfer", "ModelMetadata", "ModelStatistics")),
)  # fmt: skip


def _large_pictures(where: Where) -> Codes:
    """Noise that begins as a JPEG does, each 16 MiB less a little."""
    data = b"\xff\xd8\xff\xe0" + random.Random(4).randbytes(16 * _MIB - 4096)
    request = field(1, field(1, data))
    with closing(channel(where.address)) as opened:
        return at_once(60, lambda number: ask(opened, f"{VISION}Classify", request))


def _image() -> bytes:
    return field(1, field(1, distinct_jpegs(1, seed=3)[0]))


def _struct(count: int) -> bytes:
    number = field(2, b"\x11" + struct.pack("<d", 1))
    return b"".join(field(1, field(1, b"p%d" % place) + number) for place in range(count))


def _large_legal(where: Where) -> Codes:
    """Lists and texts without end, one call after the other."""
    text, floats = b"n" * (40 * _MIB), struct.pack("<f", 0.5) * 9_000_000
    cases = [
        (f"{VISION}Analyze", lambda: _image() + field(2, field(1, b"y")) * 3_000_000),
        (f"{VISION}Analyze", lambda: _image() + field(2, field(1, b"imagenet")) * 100_000),
        (f"{VISION}Analyze", lambda: _image() + field(2, field(1, b"imagenet") + field(2, _struct(800_000)))),
        (f"{VISION}Detect", lambda: _image() + field(2, b"pennfudan") + field(6, b"cat") * 6_000_000),
        (f"{VISION}Classify", lambda: _image() + field(2, text)),
        (f"{VISION}GetHead", lambda: field(1, text)),
        (f"{VISION}Compare", lambda: _image() + field(3, field(1, floats))),
        (f"{GALLERIES}CreateGallery", lambda: field(1, text) + field(2, b"pets")),
        (f"{GALLERIES}SearchGallery", lambda: field(1, b"none") + field(3, field(1, floats))),
        (f"{TRAINING}CreateTrainingJob",
         lambda: field(2, field(1, b"abc") + field(2, b"/nowhere") + field(5, b"t") * 8_000_000)),
        (f"{TRAINING}GetTrainingJob", lambda: field(1, text)),
        (f"{CATALOG}SetAlias", lambda: field(1, b"imagenet") + field(2, text) + b"\x18\x01"),
        (f"{INFERENCE}ModelInfer", lambda: field(1, b"imagenet") + field(5, field(1, b"image")) * 3_000_000),
        (f"{INFERENCE}ModelInfer", lambda: field(1, b"pets") + field(4, field(1, b"k") + field(2, b"")) * 10**6),
        (f"{INFERENCE}ModelInfer", lambda: field(1, b"imagenet") + field(5, field(1, b"pooled") + field(2, b"FP32")
         + field(3, varint(1) + varint(9_000_000)) + field(5, field(6, floats)))),
    ]  # fmt: skip
    found = Counter[str]()
    with closing(channel(where.address)) as opened:
        for path, make in cases:
            found[ask(opened, path, make(), timeout_s=60)] += 1
    return found


def _deep(levels: int) -> bytes:
    """A Value of lists within lists."""
    value = b"\x20\x01"
    for _ in range(levels):
        value = field(6, field(1, value))
    return value


def _deep_and_odd(where: Where) -> Codes:
    found = Counter[str]()
    requests = [
        *(field(2, field(1, b"imagenet") + field(2, field(1, field(1, b"p") + field(2, _deep(levels)))))
          for levels in (10, 45, 48, 60, 3000)),
        field(999, b"u" * 1000) * 20_000,
        (b"\x9b\x3e" * 400),  # groups within groups, which never end
        field(2, field(1, "\u202e".encode() * 6000)),
        field(1, field(1, b"")) * 100_000,
    ]  # fmt: skip
    with closing(channel(where.address)) as opened:
        for _ in range(10):
            for request in requests:
                found[ask(opened, f"{VISION}Analyze", _image() + request)] += 1
    return found


def _malformed(where: Where) -> Codes:
    """Bytes that are no message, to every call; in streams too."""
    dice, found = random.Random(9), Counter[str]()
    with closing(channel(where.address)) as opened:
        for _ in range(30):
            for path in _METHODS:
                found[ask(opened, path, b"\x0a\xff" + dice.randbytes(dice.randrange(40)))] += 1
            for path in (f"{VISION}AnalyzeStream", f"{INFERENCE}ModelStreamInfer", f"{GALLERIES}AddImages"):
                found[_stream(opened, path, [b"\x0a\xff\xff"] * 3)] += 1
    return found


def _stream(opened: object, path: str, messages: list[bytes]) -> str:
    import grpc

    assert isinstance(opened, grpc.Channel)
    try:
        for _ in opened.stream_stream(path)(iter(messages), timeout=10):
            pass
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


CASES = (
    Case("60 pictures of 16 MiB at once", _large_pictures),
    Case("large legal messages to 15 calls", _large_legal),
    Case("deep and odd messages", _deep_and_odd),
    Case("bytes that are no message", _malformed),
)
