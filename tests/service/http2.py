"""A client of HTTP/2 by hand, for what no gRPC client sends."""

import contextlib
import select
import socket
import struct
import time
from collections import Counter

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

CLASSIFY = b"/trunkline.api.vision.v1.VisionService/Classify"
ANALYZE_STREAM = b"/trunkline.api.vision.v1.VisionService/AnalyzeStream"
_FRAME = 16384


class Http2:
    """One connection. `statuses` counts the gRPC statuses that came, by number."""

    def __init__(self, address: str, *, reads: bool = True) -> None:
        """reads: whether the other side may send answers."""
        host, _, port = address.rpartition(":")
        self._authority = address.encode()
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        self._h2 = h2.connection.H2Connection(config)
        self._unsent: dict[int, memoryview] = {}
        self.statuses: Counter[int] = Counter()
        self.messages: dict[int, str] = {}
        self.pongs = 0
        self.goodbye: tuple[int, bytes] | None = None  # error code and text of GOAWAY
        self.is_closed = False
        self._h2.initiate_connection()
        if not reads:
            self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self._flush()
        self.run(0.1)

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def begin(self, path: bytes, *headers: tuple[bytes, bytes]) -> int:
        """The number of a new call, of which nothing but its headers is sent."""
        number = self._h2.get_next_available_stream_id()
        fixed = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", self._authority)]
        self._h2.send_headers(
            number, [*fixed, (b"te", b"trailers"), (b"content-type", b"application/grpc"), *headers]
        )
        self._flush()
        return number

    def send(self, number: int, data: bytes, *, declared: int | None = None, compressed: bool = False) -> None:
        """Bytes behind the prefix of a message, which declares their length, or another one."""
        length = len(data) if declared is None else declared
        self._unsent[number] = memoryview(bytes([compressed]) + struct.pack(">I", length) + data)

    def end(self, number: int) -> None:
        """Nothing more follows in this call."""
        with contextlib.suppress(h2.exceptions.StreamClosedError):  # it was answered already
            self._h2.end_stream(number)
        self._flush()

    def ping(self) -> None:
        """Ask whether the other side is there; `pongs` counts its answers."""
        self._h2.ping(bytes(8))
        self._flush()

    def run(self, seconds: float, until: int = 0) -> None:
        """Send what the other side takes, and read, for so long, or until so many statuses came."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and not self.is_closed:
            if until and self.statuses.total() >= until:
                return
            self._send_some()
            if select.select([self._socket], [], [], 0.02)[0]:
                self._read()

    def _send_some(self) -> None:
        for number in list(self._unsent):
            try:
                while (left := self._unsent.get(number)) is not None:
                    size = min(self._h2.local_flow_control_window(number), _FRAME, len(left))
                    if size <= 0:
                        break
                    self._h2.send_data(number, bytes(left[:size]))
                    self._unsent[number] = left[size:]
                    if not len(left[size:]):
                        del self._unsent[number]
            except h2.exceptions.ProtocolError:  # the call has ended
                self._unsent.pop(number, None)
        self._flush()

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            data = b""
        self.is_closed = not data
        for event in self._h2.receive_data(data) if data else ():
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                headers = dict(event.headers)
                if b"grpc-status" in headers:
                    self.statuses[int(headers[b"grpc-status"])] += 1
                    self.messages[event.stream_id] = headers.get(b"grpc-message", b"").decode()
            elif isinstance(event, h2.events.PingAckReceived):
                self.pongs += 1
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goodbye = (int(event.error_code), event.additional_data or b"")
        self._flush()

    def _flush(self) -> None:
        try:
            self._socket.sendall(self._h2.data_to_send())
        except OSError:
            self.is_closed = True
