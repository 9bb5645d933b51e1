"""What a page in somebody's browser may ask: its own site alone, unless TRUNKLINE_HTTP_ORIGINS names others.

A browser sends simple requests to any site without asking it first, and a name of an attacker's may lead to loopback
(DNS rebinding). Source: the Fetch standard, "CORS-safelisted request-header".
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from trunkline.core.errors import PermissionDeniedError
from trunkline.core.text import shown
from trunkline.gateway.rest.body import MediaTypeError, media_type
from trunkline.serving.addresses import is_loopback
from trunkline.serving.settings import Settings

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_TENSORS: Final = ("application/json", "application/octet-stream")


class Pages:
    """The rule of one HTTP port."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.http_origins)
        self._hosts = {urlsplit(origin).netloc for origin in self._origins}
        self._on_loopback = is_loopback(settings.http_address)

    def check(self, request: Request) -> None:
        """Raises PermissionDeniedError, MediaTypeError."""
        if "*" in self._origins:
            return
        headers = request.headers
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        if self._on_loopback and host and not _is_this_machine(host) and host not in self._hosts:
            raise PermissionDeniedError(
                f"this service is for this machine, and {shown(host)} is a name of something else: use 127.0.0.1, or "
                "name its origin in TRUNKLINE_HTTP_ORIGINS"
            )
        if request.method in _SAFE:
            return
        if origin and origin not in self._origins and urlsplit(origin).netloc != host:
            raise PermissionDeniedError(
                f"pages of {shown(origin)} may not call this service: TRUNKLINE_HTTP_ORIGINS names those that may"
            )
        if request.scope["path"].startswith("/v2"):
            _check_tensors(request, origin)


def _check_tensors(request: Request, origin: str) -> None:
    kind = media_type(request)
    # Programs leave the type out; a page that does must show where it is from.
    if kind not in _TENSORS and (kind or origin) and request.headers.get("content-length", "") != "0":
        raise MediaTypeError(f"send Content-Type {' or '.join(_TENSORS)}, not {shown(kind or 'none')!r}")


def _is_this_machine(host: str) -> bool:
    """A name without a dot is of this machine or its network: nobody else can have it lead here."""
    name = host if host.startswith("[") and host.endswith("]") else host.rpartition(":")[0] or host
    return ("." not in name.strip(".") and ":" not in name) or is_loopback(f"{name}:0") or name.endswith(".localhost")
