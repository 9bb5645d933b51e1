"""Who asks over HTTP: found out before anything of a body is read, and said to the gRPC server of this process."""

from typing import Any, Final

from starlette.requests import Request

from trunkline.gateway.rest.browsers import Pages
from trunkline.serving.security.gate import AUTHORIZATION
from trunkline.serving.security.methods import need_of
from trunkline.serving.security.peers import FROM, PEER, behalf_of
from trunkline.serving.security.security import Security

CERTIFICATE: Final = "trunkline.certificate"  # in the scope of a request: names in the certificate of its connection
_SAID: Final = "trunkline.said"


class Entrance:
    """For the requests of one route."""

    def __init__(self, security: Security, pages: Pages, method: str) -> None:
        """method: path of the gRPC call that it stands for."""
        self._pages = pages
        self._security, self._need, self._method = security, need_of(method), method

    def enter(self, request: Request) -> None:
        """Raises UnauthenticatedError, PermissionDeniedError, MediaTypeError."""
        self._pages.check(request)
        client = request.client
        where = "" if client is None else f"{client.host}:{client.port}"
        said: tuple[tuple[str, str], ...] = ((PEER, self._security.own_key), (FROM, where))
        gate = self._security.gate
        if gate is not None:
            authorization = request.headers.get(AUTHORIZATION)
            try:
                caller = gate.check(authorization, request.scope.get(CERTIFICATE, ()), self._need)
            except Exception as error:
                self._security.record.refused_over_http(where, self._method, error)
                raise
            said += behalf_of(caller)
        request.scope[_SAID] = said


def said_of(request: Request) -> tuple[tuple[str, str], ...]:
    """Metadata of the call for a request that was let in."""
    said: tuple[tuple[str, str], ...] = request.scope[_SAID]
    return said


def names_in(transport: Any) -> tuple[str, ...]:
    """DNS names, URIs and the like in the certificate that the other side has shown, if any."""
    tls = transport.get_extra_info("ssl_object")
    shown = None if tls is None else tls.getpeercert()
    return tuple(str(name) for _, name in (shown or {}).get("subjectAltName", ()))
