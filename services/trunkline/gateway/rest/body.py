"""Bodies of requests, with the limit on a message enforced while they are read."""

from starlette.requests import Request

from trunkline.core.errors import InvalidRequestError


class BodyTooLargeError(InvalidRequestError):
    reason = "BODY_TOO_LARGE"


class MediaTypeError(InvalidRequestError):
    reason = "MEDIA_TYPE"


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Raises BodyTooLargeError, and MediaTypeError for a compressed one, whose size nobody would know."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise MediaTypeError("compressed bodies are not read: send it without Content-Encoding")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(body)


def media_type(request: Request) -> str:
    """Content-Type without its parameters, in small letters; empty where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is over the limit of {limit_bytes} bytes", limit_bytes=limit_bytes)
