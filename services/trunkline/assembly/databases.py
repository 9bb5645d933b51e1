"""Shows by the health of a service whether its database can be used."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from trunkline.core.errors import ServiceUnavailableError
from trunkline.serving.host import Host

_EVERY_S = 1.0
_START_S = 2.0
_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def shown_health(host: Host, service: str, look: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Meanwhile this service is NOT_SERVING whenever look() raises ServiceUnavailableError; the process goes on.

    It looks once before it is entered, unless that takes long, then every second: what is mended is seen by itself.
    """
    first = asyncio.create_task(_show(host, service, look))
    if not (await asyncio.wait({first}, timeout=_START_S))[0]:
        await host.set_service(service, ready=False)
    watch = asyncio.create_task(_watch(host, service, look, first))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _watch(host: Host, service: str, look: Callable[[], Awaitable[None]], first: "asyncio.Task[None]") -> None:
    await first
    while True:
        await asyncio.sleep(_EVERY_S)
        await _show(host, service, look)


async def _show(host: Host, service: str, look: Callable[[], Awaitable[None]]) -> None:
    try:
        await look()
    except ServiceUnavailableError:
        await host.set_service(service, ready=False)
    except Exception:
        _log.exception("bug in a look at the database of %s", service)
    else:
        await host.set_service(service, ready=True)
