"""Pictures that cost much: of few bytes and many pixels, or of all bytes that are allowed."""

import io
from collections import Counter
from contextlib import closing
from functools import cache

import numpy as np
from PIL import Image

from benchmarks.hostile.case import VISION, Case, Codes, Where, ask, at_once, channel, field

_SIDE = 7000  # 49 million pixels, within the limit
_EVERYTHING = b"\x18\x03" + b"\x20\x01"  # of Segment: both kinds of masks, and the confidence map


@cache
def _bomb(kind: str) -> bytes:
    options = {"AVIF": {"quality": 1, "speed": 10}, "PNG": {}}[kind]
    file = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (90, 120, 30)).save(file, kind, **options)
    return file.getvalue()


def _bombs(where: Where, kind: str) -> Codes:
    """12 at once to each task; every picture another one, so that none is known from before."""
    tasks = {"Classify": b"imagenet", "Regress": b"digit-angle", "Detect": b"pennfudan", "Embed": b"pets"}
    found = Counter[str]()
    with closing(channel(where.address)) as opened:
        for place, (call, head) in enumerate([*tasks.items(), ("Segment", b"camvid")]):

            def one(number: int, call: str = call, head: bytes = head, place: int = place) -> str:
                data = _bomb(kind) + bytes([number, place])
                more = _EVERYTHING if call == "Segment" else b""
                return ask(opened, VISION + call, field(1, field(1, data)) + field(2, head) + more)

            found += at_once(12, one)
    return found


@cache
def _photograph(side: int, quality: int) -> bytes:
    """A JPEG of noise, which takes as many bytes as its pixels can."""
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _classify_all(where: Where, count: int, *pictures: bytes) -> Codes:
    """So many at once, each over a connection of its own and with a picture that is none of the others."""

    def one(number: int) -> str:
        with closing(channel(where.address)) as opened:
            picture = pictures[number % len(pictures)] + number.to_bytes(2, "big")
            return ask(opened, f"{VISION}Classify", field(1, field(1, picture)) + field(2, b"imagenet"), timeout_s=60)

    return at_once(count, one)


CASES = (
    Case("12 AVIF bombs of 49 Mpx to each task", lambda where: _bombs(where, "AVIF")),
    Case("12 PNG bombs of 49 Mpx to each task", lambda where: _bombs(where, "PNG")),
    Case("120 photographs of 11 MB at once", lambda where: _classify_all(where, 120, _photograph(3060, 95))),
    Case("16 photographs of 49 Mpx at once", lambda where: _classify_all(where, 16, _photograph(_SIDE, 30))),
    Case(
        "64 pictures of many bytes, many pixels and both at once",
        lambda where: _classify_all(
            where, 64, _photograph(3060, 95), _photograph(_SIDE, 30), _bomb("AVIF"), _bomb("PNG")
        ),
    ),
)
