"""What is wrong before there is a message: compression, half of one, silence, floods of frames."""

import socket
import time
import zlib
from collections import Counter
from contextlib import ExitStack, closing
from functools import cache

from benchmarks.hostile.case import HEAD, HEADS, VISION, WHOLE, Case, Codes, Where, varint
from benchmarks.hostile.http2 import Connection, message

_BOMB_MIB, _BOMBS = 60, 60
_BATCH = 50  # frames in one write


@cache
def _bomb() -> bytes:
    """A request with a picture of zeros, 60 MiB, in 61 KB."""
    size = _BOMB_MIB << 20
    picture = b"\x0a" + varint(size)
    head = b"\x0a" + varint(len(picture) + size) + picture
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    parts = [deflate.compress(head), *(deflate.compress(zeros) for _ in range(_BOMB_MIB)), deflate.flush()]
    return message(b"".join(parts), compressed=True)


def _gzip_bombs(where: Where) -> Codes:
    path = f"{HEADS}Predict" if not where.http else f"{VISION}Classify"
    with closing(Connection(where.address)) as connection:
        streams = [
            connection.open(path, [("grpc-encoding", "gzip"), ("grpc-timeout", "20S")])[0] for _ in range(_BOMBS)
        ]
        for stream in streams:
            connection.data(stream, _bomb(), end=True, timeout_s=5)
        _wait(connection, len(streams), 25)
        return _seen(connection)


def _half_messages(where: Where) -> Codes:
    """Messages that say 60 MiB, of which 15 come; for as long as the case lasts."""
    path = f"{HEADS}Predict" if not where.http else f"{VISION}Classify"
    piece = message(bytes(15 << 20), claimed=60 << 20)
    total = Counter[str]()
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(Connection(where.address))) for _ in range(10)]
        ends_at = time.monotonic() + where.seconds
        for connection in opened:
            for _ in range(4):
                stream, _ = connection.open(path)
                sent = connection.data(stream, piece, timeout_s=max(0.2, (ends_at - time.monotonic()) / 8))
                total["15 MiB taken" if sent == len(piece) else "less taken"] += 1
        time.sleep(max(0.0, ends_at - time.monotonic()))
        return sum((_seen(connection) for connection in opened), total)


def _silent_streams(where: Where) -> Codes:
    with closing(Connection(where.address)) as connection:
        frames = [connection.open(f"{VISION}AnalyzeStream", at_once=False)[1] for _ in range(5000)]
        _flood(connection, frames)
        time.sleep(where.seconds / 2)
        return _seen(connection)


def _idle_connections(where: Where) -> Codes:
    """On both ports."""
    found = Counter[str]()
    with ExitStack() as stack:
        for address in filter(None, (where.address, where.http)):
            host, _, port = address.rpartition(":")
            for _ in range(1000):
                try:
                    stack.enter_context(socket.create_connection((host, int(port)), timeout=2))
                except OSError:
                    found["not accepted"] += 1
                else:
                    found["accepted"] += 1
        time.sleep(where.seconds / 2)
    return found


def _pings(where: Where) -> Codes:
    return _flooded(where, [Connection.ping(number) for number in range(20_000)])


def _settings(where: Where) -> Codes:
    return _flooded(where, [Connection.settings()] * 50_000)


def _resets(where: Where) -> Codes:
    with closing(Connection(where.address)) as connection:
        frames = []
        for _ in range(20_000):
            stream, opening = connection.open(f"{VISION}Classify", at_once=False)
            frames.append(opening + connection.reset(stream))
        _flood(connection, frames)
        time.sleep(1)
        return _seen(connection)


def _flooded(where: Where, frames: list[bytes]) -> Codes:
    with closing(Connection(where.address)) as connection:
        _flood(connection, frames)
        time.sleep(1)
        return _seen(connection)


def _flood(connection: Connection, frames: list[bytes]) -> None:
    for at in range(0, len(frames), _BATCH):
        if not connection.send(b"".join(frames[at : at + _BATCH])):
            return


def _wait(connection: Connection, count: int, timeout_s: float) -> None:
    ends_at = time.monotonic() + timeout_s
    while connection.seen.total() < count and not connection.closed and time.monotonic() < ends_at:
        time.sleep(0.1)


def _seen(connection: Connection) -> Codes:
    return connection.seen + Counter({"connection ended": int(connection.closed)})


CASES = (
    Case("60 gzip bombs of 60 MiB", _gzip_bombs, (*WHOLE, HEAD)),
    Case("40 half-sent messages of 60 MiB", _half_messages, (*WHOLE, HEAD)),
    Case("5,000 silent streams", _silent_streams),
    Case("2,000 idle connections", _idle_connections, (*WHOLE, HEAD)),
    Case("20,000 pings", _pings),
    Case("50,000 SETTINGS", _settings),
    Case("20,000 streams that are reset", _resets),
)
