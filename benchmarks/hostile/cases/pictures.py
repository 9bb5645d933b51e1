"""Pictures of few bytes and many pixels."""

import io
from collections import Counter
from contextlib import closing
from functools import cache

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


CASES = (
    Case("12 AVIF bombs of 49 Mpx to each task", lambda where: _bombs(where, "AVIF")),
    Case("12 PNG bombs of 49 Mpx to each task", lambda where: _bombs(where, "PNG")),
)
