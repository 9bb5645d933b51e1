"""HTTP/2 by hand, as no client library sends it: frames, headers without compression, half of a message.

Source: RFC 9113 (frames, flow control), RFC 7541 (header fields as literals that are never indexed).
"""

import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_FRAME_BYTES = 16_384
_NAMES = {_HEADERS: "answered", _RST: "reset", _GOAWAY: "connection refused"}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def grpc_headers(path: str, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC call."""
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers"),
        ("content-type", "application/grpc"), *extra,
    ]  # fmt: skip
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)


def message(data: bytes, *, compressed: bool = False, claimed: int | None = None) -> bytes:
    """A gRPC message; `claimed` is the length that its prefix says."""
    return struct.pack(">BI", compressed, len(data) if claimed is None else claimed) + data


class Connection:
    """A connection that keeps to the flow control of its peer. `seen` counts what came back."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._socket.settimeout(None)
        self._room = threading.Condition()
        self._own, self._window = defaultdict[int, int](int), 65_535
        self._initial = 65_535
        self._next = 1
        self.seen = Counter[str]()
        self.closed = False
        self._sending = threading.Lock()
        self.send(_PREFACE + frame(_SETTINGS, 0, 0))
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, data: bytes) -> bool:
        """Whether the connection took it."""
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError:
            self.closed = True
        return not self.closed

    def open(self, path: str, extra: Iterable[tuple[str, str]] = (), *, at_once: bool = True) -> tuple[int, bytes]:
        """The number of a new stream, and its frame, which is sent `at_once` or by the caller."""
        stream, self._next = self._next, self._next + 2
        opening = frame(_HEADERS, _END_HEADERS, stream, grpc_headers(path, extra))
        if at_once:
            self.send(opening)
        return stream, opening

    def data(self, stream: int, data: bytes, *, end: bool = False, timeout_s: float = 20.0) -> int:
        """Send as much as the peer has room for within the time; the bytes sent."""
        sent, ends_at = 0, time.monotonic() + timeout_s
        while sent < len(data) and not self.closed:
            room = self._take(stream, len(data) - sent, ends_at)
            if not room:
                break
            last = end and sent + room == len(data)
            if not self.send(frame(_DATA, _END_STREAM if last else 0, stream, data[sent : sent + room])):
                break
            sent += room
        return sent

    def reset(self, stream: int) -> bytes:
        return frame(_RST, 0, stream, struct.pack(">I", 8))

    @staticmethod
    def ping(number: int) -> bytes:
        return frame(_PING, 0, 0, struct.pack(">Q", number))

    @staticmethod
    def settings() -> bytes:
        return frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535))

    def close(self) -> None:
        self.closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _take(self, stream: int, wanted: int, ends_at: float) -> int:
        with self._room:
            while True:
                room = min(self._window, self._initial + self._own[stream], _FRAME_BYTES, wanted)
                if room > 0:
                    self._window -= room
                    self._own[stream] -= room
                    return room
                left = ends_at - time.monotonic()
                if left <= 0 or self.closed:
                    return 0
                self._room.wait(min(left, 0.5))

    def _read(self) -> None:
        file = self._socket.makefile("rb")
        try:
            while len(head := file.read(9)) == 9:
                length = int.from_bytes(head[:3], "big")
                self._take_in(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, file.read(length))
        except (OSError, ValueError):
            pass
        self.closed = True
        with self._room:
            self._room.notify_all()

    def _take_in(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW:
            with self._room:
                if stream:
                    self._own[stream] += int.from_bytes(payload, "big")
                else:
                    self._window += int.from_bytes(payload, "big")
                self._room.notify_all()
        elif kind == _SETTINGS and not flags & _ACK:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack_from(">HI", payload, at)
                if key == 4:
                    self._initial = value
            self.send(frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self.send(frame(_PING, _ACK, 0, payload))
        elif kind in _NAMES and (kind != _HEADERS or flags & _END_STREAM):
            self.seen[_NAMES[kind]] += 1


def _text(text: str) -> bytes:
    data = text.encode("latin-1")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, prefix = len(data) - 127, b"\x7f"
    while rest > 127:
        prefix += bytes([rest & 127 | 128])
        rest >>= 7
    return prefix + bytes([rest]) + data
