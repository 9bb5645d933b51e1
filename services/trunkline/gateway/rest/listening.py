"""The address of the HTTP port."""

import socket

from trunkline.core.errors import ConfigurationError


def listen(address: str) -> socket.socket:
    """A listening socket. Raises ConfigurationError where the address cannot be had."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=1024)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {address}: the port is taken or not ours; choose another with --http HOST:PORT"
        ) from error
