"""Bodies of requests, with their limits enforced and their memory counted while they are read."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.requests import Request

from trunkline.core.errors import InvalidRequestError
from trunkline.core.text import shown
from trunkline.gateway.rest.inflating import ENCODINGS, Inflater
from trunkline.gateway.rest.limits import MOST_NAMES, BodyLimit
from trunkline.serving.budget import Hold

# A value of JSON costs about as much work as so many bytes.
_BYTES_OF_A_VALUE = 64


class BodyTooLargeError(InvalidRequestError):
    reason = "BODY_TOO_LARGE"


class MediaTypeError(InvalidRequestError):
    reason = "MEDIA_TYPE"


@dataclass
class Body:
    """What was read: its parts, their bytes, and the values and names that it has at most if it is JSON."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    values: int = 0
    names: int = 0

    @property
    def work(self) -> int:
        """The work of reading it, as bytes that are copied."""
        return max(self.size, _BYTES_OF_A_VALUE * self.values)

    def count(self, part: bytes) -> None:
        """Count what this part of a JSON text begins: each value and name has one of these characters beside it."""
        self.values += part.count(b",") + part.count(b"[") + part.count(b"{")
        self.names += part.count(b":")

    def take(self) -> bytes:
        """All of it in one piece; the parts are gone then."""
        whole = b"".join(self.parts)
        self.parts.clear()
        return whole


async def read_body(request: Request, limit: BodyLimit, hold: Hold) -> Body:
    """The body; `hold` grows as it arrives.

    A body in gzip or deflate is inflated as it arrives; the limit holds for both of its sizes.

    Raises BodyTooLargeError, MemoryFullError, InvalidRequestError for JSON of too many values or what is not
    compressed as it says, MediaTypeError for other encodings, and ClientDisconnect where the rest does not come.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit.bytes:
        raise too_large(limit)
    body = Body()
    async for part in _plain_parts(request, limit):
        body.size += len(part)
        if body.size > limit.bytes:
            raise too_large(limit)
        hold.add(limit.cost * len(part))
        body.parts.append(part)
        if limit.values is not None:
            body.count(part)
            check_values(body, limit)
    return body


async def _plain_parts(request: Request, limit: BodyLimit) -> AsyncIterator[bytes]:
    """The parts of the body without their encoding."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for part in request.stream():
            yield part
        return
    if encoding not in ENCODINGS:
        raise MediaTypeError(f"Content-Encoding is {' or '.join(ENCODINGS)}, or left out, not {shown(encoding)!r}")
    inflater, received = Inflater(encoding), 0
    async for part in request.stream():
        received += len(part)
        if received > limit.bytes:  # what inflates to nothing is work too
            raise too_large(limit)
        for step in inflater.steps(part):
            yield step
            await asyncio.sleep(0)  # others have their turn
    inflater.check_end()


def media_type(request: Request) -> str:
    """Content-Type without its parameters, in small letters; empty where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_values(body: Body, limit: BodyLimit) -> None:
    """Raises InvalidRequestError for more values than are read."""
    if limit.values is not None and body.values > limit.values:
        raise InvalidRequestError(
            f"the JSON has more than {limit.values} values; larger tensors are sent as binary data of /v2",
            limit_values=limit.values,
        )
    if body.names > MOST_NAMES:
        raise InvalidRequestError(f"the JSON has more than {MOST_NAMES} names", limit_names=MOST_NAMES)


def too_large(limit: BodyLimit) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body is over the limit of {limit.bytes} bytes{limit.hint}", limit_bytes=limit.bytes
    )
