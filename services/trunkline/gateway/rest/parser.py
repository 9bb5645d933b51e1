"""h11 with bounds: on the head of a request, and on bodies that come in crumbs."""

from typing import Any

import h11

# Of a head that has not ended, and of what a head that has ended is parsed in, bytes.
MOST_HEAD_BYTES = 16 * 1024
_MOST_TARGET_BYTES = 8 * 1024
_MOST_HEADERS = 100
# Each chunk of a body costs the event loop about as much as a whole read.
_CHUNKS_AT_LEAST, _LEAST_CHUNK_BYTES = 1024, 256


class BoundedParser(h11.Connection):
    """The server's side. `fault` is what was wrong with the request, once next_event() has raised."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MOST_HEAD_BYTES)
        self.fault: h11.RemoteProtocolError | None = None
        self.in_chunks = False
        self._chunks, self._bytes = 0, 0

    def next_event(self) -> Any:
        """As h11's. Raises RemoteProtocolError, with the status to answer, for what is over a bound too."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Data):
                self._check_chunk(event)
            elif isinstance(event, h11.Request):
                self._check_head(event)
        except h11.RemoteProtocolError as error:
            self.fault = error
            raise
        return event

    def _check_head(self, request: h11.Request) -> None:
        if len(request.target) > _MOST_TARGET_BYTES:
            raise h11.RemoteProtocolError(f"the path has more than {_MOST_TARGET_BYTES} bytes", 414)
        if len(request.headers) > _MOST_HEADERS:
            raise h11.RemoteProtocolError(f"the request has more than {_MOST_HEADERS} headers", 431)
        names = {name for name, _ in request.headers}
        self.in_chunks = b"transfer-encoding" in names
        # Two sides that take different ones for the length see different requests.
        if self.in_chunks and (b"content-length" in names or request.http_version != b"1.1"):
            raise h11.RemoteProtocolError("Transfer-Encoding is for HTTP/1.1, without Content-Length", 400)
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("only HTTP/1.1 and 1.0 are supported", 400)
        self._chunks, self._bytes = 0, 0

    def _check_chunk(self, data: h11.Data) -> None:
        if not self.in_chunks:
            return
        self._chunks += data.chunk_start
        self._bytes += len(data.data)
        if self._chunks > _CHUNKS_AT_LEAST and self._bytes < self._chunks * _LEAST_CHUNK_BYTES:
            raise h11.RemoteProtocolError(f"the body comes in chunks of less than {_LEAST_CHUNK_BYTES} bytes", 400)
