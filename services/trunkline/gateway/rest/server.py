"""The HTTP port, in the event loop of the process."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from trunkline.core.errors import ConfigurationError
from trunkline.gateway.rest import inference, native
from trunkline.gateway.rest.calls import open_own_channel
from trunkline.gateway.rest.errors import not_routed
from trunkline.serving.settings import Settings

# A client that keeps connections must not find each closed just as it sends on it.
_KEEP_ALIVE_S = 75
_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the process, which then ends this server too."""
        yield


@contextlib.asynccontextmanager
async def rest_port(settings: Settings, grpc_address: str) -> AsyncIterator[str]:
    """Serve HTTP at settings.http_address before the gRPC port at grpc_address; yields it with the real port.

    At the end, requests in flight are finished within settings.drain_s. Leave it after the drain of the gRPC port:
    who asks meanwhile gets 503. Raises ConfigurationError where the address cannot be had.
    """
    listener = _listen(settings.http_address)
    channel = open_own_channel(grpc_address, settings.max_message_bytes)
    limit_bytes = settings.max_message_bytes
    app = Starlette(
        routes=[*native.routes(channel, limit_bytes), *inference.routes(channel, limit_bytes)],
        exception_handlers={HTTPException: not_routed},
    )
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not running.done():  # noqa: ASYNC110  there is no other sign
        await asyncio.sleep(0.01)
    address = f"{settings.http_address.rpartition(':')[0]}:{listener.getsockname()[1]}"
    _log.info("HTTP on %s", address)
    try:
        yield address
    finally:
        server.should_exit = True
        await running
        await channel.close()


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=1024)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {address}: the port is taken or not ours; choose another with --http HOST:PORT"
        ) from error
