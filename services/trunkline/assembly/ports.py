"""Ports that are kept for processes to come: bound from now on, listened on by them alone."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import is_socket, parse_host_port


@contextlib.contextmanager
def kept_ports(address: str, count: int) -> Iterator[list[str]]:
    """`address` and `count` free ports of 127.0.0.1, as HOST:PORT, each with its real port.

    A port that is only bound answers nobody, and the kernel gives it to no other program; a process of the same user
    listens on it with SO_REUSEPORT, and again after it has died. Raises ConfigurationError where `address` is taken.
    """
    with contextlib.ExitStack() as stack:
        yield [_keep(stack, address), *(_keep(stack, "127.0.0.1:0") for _ in range(count))]


def check_free(address: str) -> None:
    """Raises ConfigurationError where the HTTP port at `address` could not be had at this moment."""
    host, port = parse_host_port(address)
    try:
        for family, place in _places(host, port):
            _probe(family, place)
    except OSError as error:
        raise _taken(address, error, "--http") from error


def _keep(stack: contextlib.ExitStack, address: str) -> str:
    if is_socket(address):
        return address
    host, number = parse_host_port(address)
    try:
        for family, place in _places(host, number):
            if number:
                _probe(family, place)
            holder = stack.enter_context(_socket(family))
            if hasattr(socket, "SO_REUSEPORT"):
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((place[0], number, *place[2:]))
            number = int(holder.getsockname()[1])
    except OSError as error:
        raise _taken(address, error, "--address") from error
    return f"{host}:{number}"


def _places(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _taken(address: str, error: OSError, option: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot listen on {address}: {error.strerror or error}; choose another with {option} HOST:PORT"
    )


def _probe(family: socket.AddressFamily, place: tuple[Any, ...]) -> None:
    """Without SO_REUSEPORT, as another server that has it would share the port, and the calls."""
    with _socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)


def _socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made
