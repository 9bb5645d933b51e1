"""Bodies that come compressed, in steps: no more is inflated at once than is looked at, whatever it declares."""

import zlib
from collections.abc import Iterator
from typing import Final

from trunkline.core.errors import InvalidRequestError

STEP_BYTES: Final = 256 * 1024
_WINDOWS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ENCODINGS: Final = tuple(_WINDOWS)


class Inflater:
    """One body in gzip (RFC 1952), or deflate with its zlib header (RFC 1950)."""

    def __init__(self, encoding: str) -> None:
        """encoding: one of ENCODINGS."""
        self._encoding = encoding
        self._state = zlib.decompressobj(_WINDOWS[encoding])

    def steps(self, part: bytes) -> Iterator[bytes]:
        """What the next part of the body holds, at most STEP_BYTES at a time. Raises InvalidRequestError."""
        while part and not self._state.eof:
            try:
                found = self._state.decompress(part, STEP_BYTES)
            except zlib.error as error:
                raise InvalidRequestError(
                    f"the body is not {self._encoding}, as its Content-Encoding says"
                ) from error
            part = self._state.unconsumed_tail
            yield found
        if part or self._state.unused_data:
            raise InvalidRequestError(f"bytes follow the end of the {self._encoding} body")

    def check_end(self) -> None:
        """Raises InvalidRequestError where more was to come."""
        if not self._state.eof:
            raise InvalidRequestError(f"the {self._encoding} body is cut off")
