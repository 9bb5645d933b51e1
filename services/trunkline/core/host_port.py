"""Addresses as people write them: HOST:PORT to listen on, and targets of gRPC to call."""

import re
from typing import Final, NamedTuple

_MOST: Final = 65535
_SOCKETS = ("unix:", "unix-abstract:", "vsock:")
_RESOLVED = ("dns:", "ipv4:", "ipv6:", "xds:", *_SOCKETS)  # schemes of gRPC's own names
_PORT = re.compile(r"[0-9]{1,9}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class HostPort(NamedTuple):
    """A host as written, with the brackets of IPv6, and a port from 0 to 65535."""

    host: str
    port: int

    @property
    def bare_host(self) -> str:
        """The host without brackets."""
        return self.host.strip("[]")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def is_socket(address: str) -> bool:
    """Whether it names a socket of this machine, such as unix:PATH, which has no port."""
    return address.startswith(_SOCKETS)


def parse_host_port(text: str, example: str = "127.0.0.1:8500") -> HostPort:
    """What HOST:PORT names; an IPv6 address stands in brackets.

    Raises ValueError with what to write instead, such as `example`.
    """
    such_as = f"write HOST:PORT, such as {example}"
    if _URL.match(text):
        raise ValueError(f"{text!r} is a URL: {such_as}")
    if is_socket(text):
        raise ValueError(f"{text!r} has no port: {such_as}")
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        raise ValueError(f"{text!r} has no port: {such_as}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:8500")
    if not _PORT.fullmatch(port) or int(port) > _MOST:
        raise ValueError(f"{text!r}: {port!r} is not a port, a number up to {_MOST}: {such_as}")
    if not host.strip("[]"):
        raise ValueError(f"{text!r} has no host: write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port}")
    return HostPort(host, int(port))


def check_listening(text: str) -> str:
    """The address where a gRPC server is to listen: HOST:PORT, or unix:PATH. Raises ValueError."""
    if not is_socket(text):
        parse_host_port(text)
    return text


def check_target(text: str) -> str:
    """The target of a gRPC channel: HOST:PORT, or a name with a scheme that gRPC knows. Raises ValueError."""
    if text.startswith(_RESOLVED):
        return text
    if parse_host_port(text).port == 0:
        raise ValueError(f"{text!r}: no service listens at port 0")
    return text
