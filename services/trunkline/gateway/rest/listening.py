"""The address of the HTTP port."""

import socket

from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import parse_host_port


def listen(address: str) -> socket.socket:
    """A listening socket. Raises ConfigurationError where the address cannot be had."""
    parsed = parse_host_port(address)
    host, family, both = parsed.bare_host, socket.AF_INET, False
    if ":" in host:
        # As gRPC does it: [::] is every address of both families.
        family, both = socket.AF_INET6, host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, parsed.port), family=family, backlog=1024, dualstack_ipv6=both)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address}: the port is taken or not ours; choose another with --http HOST:PORT"
        ) from error
