"""The HTTP port of a gateway, where it is switched on; its packages are imported then and not before."""

import contextlib
from collections.abc import AsyncIterator
from importlib.util import find_spec

from trunkline.core.errors import ConfigurationError
from trunkline.gateway.rest.listening import listen
from trunkline.serving.host import Host
from trunkline.serving.settings import Settings

_NEEDS = ("starlette", "uvicorn")


def check_rest(settings: Settings) -> None:
    """Raises ConfigurationError where it is switched on and cannot be had; before anything is loaded."""
    missing = [name for name in _NEEDS if settings.http_address and find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the HTTP port needs {', '.join(missing)}, not installed here: pip install 'trunkline[cpu,http]'"
        )
    if settings.http_address:
        listen(settings.http_address).close()


@contextlib.asynccontextmanager
async def rest_beside(host: Host, settings: Settings) -> AsyncIterator[None]:
    """Serve HTTP before a host that has started; leave it after the host's drain. Nothing where it is off."""
    if not settings.http_address:
        yield
        return
    from trunkline.gateway.rest.server import rest_port

    async with rest_port(settings, host) as address:
        host.http_address = address
        yield
