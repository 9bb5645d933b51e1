"""The HTTP port, in the event loop of the process."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from trunkline.core.host_port import parse_host_port
from trunkline.gateway.rest import inference, native, openapi
from trunkline.gateway.rest.callers import Callers, watched
from trunkline.gateway.rest.calls import open_own_channel
from trunkline.gateway.rest.connection import Connection
from trunkline.gateway.rest.endpoint import Port
from trunkline.gateway.rest.errors import not_routed
from trunkline.gateway.rest.giving_back import giving_back
from trunkline.gateway.rest.listening import listen
from trunkline.gateway.rest.rules import rules
from trunkline.gateway.rest.tensors import HEADER_LENGTH
from trunkline.serving.aside import Aside
from trunkline.serving.host import Host
from trunkline.serving.settings import Settings

# A client that keeps connections must not find each closed just as it sends on it.
_KEEP_ALIVE_S = 75
_LAST_ANSWERS_S = 2
_HANDSHAKE_S = 10.0
_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, callers: Callers, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._callers, self._tls = callers, tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which would give a handshake a minute, and reads certificates once."""
        loop, config = asyncio.get_running_loop(), self.config
        make = partial(Connection, self._callers, config, self.server_state, {})
        within_s = None if self._tls is None else _HANDSHAKE_S
        self.servers = [
            await loop.create_server(
                make, sock=listener, ssl=self._tls, backlog=config.backlog, ssl_handshake_timeout=within_s
            )
            for listener in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who has not read his answer, or sent his body, after a while is waited for no longer."""
        ending = asyncio.get_running_loop().call_later(_LAST_ANSWERS_S, self._callers.abort)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the process, which then ends this server too."""
        yield


@contextlib.asynccontextmanager
async def rest_port(settings: Settings, host: Host) -> AsyncIterator[str]:
    """Serve HTTP, or HTTPS, at settings.http_address before the gRPC server of this process; yields the address with
    its real port.

    Bodies and answers are held in its budget. Leave it after the drain of the gRPC port, when no call is in flight:
    who asks meanwhile gets 503, and what of answers is not read soon is lost. Raises ConfigurationError where the
    address cannot be had.
    """
    listener = listen(settings.http_address)
    channel = open_own_channel(host.own_address, settings.max_message_bytes)
    callers, tls = Callers(host.budget), host.security.tls
    async with giving_back() as back, watched(callers):
        port = Port(
            settings, channel, host.budget, Aside("http-reading"), Aside("http-answering"), back, host.security
        )
        server = _Server(_config(_application(port), callers), callers, None if tls is None else tls.http_context())
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():  # noqa: ASYNC110  there is no other sign
            await asyncio.sleep(0.01)
        address = str(parse_host_port(settings.http_address)._replace(port=listener.getsockname()[1]))
        _log.info("%s on %s, for up to %d connections", "HTTP" if tls is None else "HTTPS", address, callers.limit)
        try:
            yield address
        finally:
            server.should_exit = True
            await running
    port.reading.close()
    port.answering.close()
    await channel.close()


def _application(port: Port) -> Starlette:
    application = Starlette(
        routes=[*native.routes(port), *inference.routes(port), openapi.route()],
        exception_handlers={HTTPException: not_routed},
    )
    application.router.redirect_slashes = False  # to where, a caller's Host header would say
    if port.settings.http_origins:
        _allow_origins(application, port.settings.http_origins)
    return application


def _allow_origins(application: Starlette, origins: Sequence[str]) -> None:
    """Answer what browsers ask before they call for a page of one of these origins, and name it on answers."""
    application.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=sorted({rule.verb for rule in rules()}),
        allow_headers=["*"],
        expose_headers=[HEADER_LENGTH, "Retry-After"],
    )


def _config(application: Starlette, callers: Callers) -> uvicorn.Config:
    # What it would say of connections, any caller could say without end.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        application,
        http=partial(Connection, callers),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=2 * _LAST_ANSWERS_S,
    )
