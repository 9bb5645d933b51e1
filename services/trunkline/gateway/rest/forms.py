"""Bodies of multipart/form-data: files and texts under names. Source: RFC 7578, and RFC 2046, section 5.1.1."""

import email
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request

from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.rest.body import MediaTypeError
from trunkline.serving.settings import Settings

FORM: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r"""boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))""", re.IGNORECASE)
_MOST_PARTS: Final = 100
_LONGEST_HEAD: Final = 8192  # bytes


class Part(NamedTuple):
    """A field of a form."""

    name: str
    is_file: bool
    data: bytes


def require_own_page(request: Request, settings: Settings) -> None:
    """Raises MediaTypeError for a form of a page of another site, which a browser sends without asking first."""
    origin = request.headers.get("origin", "").lower()
    allowed = origin in settings.http_origins or "*" in settings.http_origins
    if origin and not allowed and urlsplit(origin).netloc != request.headers.get("host", "").lower():
        raise MediaTypeError(
            f"{FORM} is not accepted from pages of other sites: allow them with TRUNKLINE_HTTP_ORIGINS"
        )


def parts_of(body: bytes, content_type: str) -> list[Part]:
    """The fields, in their order. Raises InvalidRequestError for what is no form or has too many parts."""
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise InvalidRequestError(f"Content-Type {FORM} names no boundary")
    mark = b"--" + (named[1] or named[2]).encode("latin-1", "replace")
    found: list[Part] = []
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    while body.startswith(mark, at):
        at += len(mark)
        if body.startswith(b"--", at):
            return found
        if len(found) == _MOST_PARTS:
            raise InvalidRequestError(f"the form has more than {_MOST_PARTS} parts")
        begin = body.find(b"\r\n\r\n", at, at + _LONGEST_HEAD)
        end = body.find(b"\r\n" + mark, begin + 2)
        if min(begin, end) < 0:
            break
        found.append(_part(body[at:begin], body[begin + 4 : end]))
        at = end + 2
    raise InvalidRequestError("the body is not multipart/form-data with the boundary of Content-Type")


def _part(head: bytes, data: bytes) -> Part:
    headers = email.message_from_bytes(head.lstrip(b" \t\r\n") + b"\r\n\r\n")
    name = headers.get_param("name", header="content-disposition")
    if not isinstance(name, str) or not name:
        raise InvalidRequestError("a part of the form has no name")
    return Part(name, headers.get_filename() is not None, data)
