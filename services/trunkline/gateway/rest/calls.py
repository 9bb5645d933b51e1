"""Calls to the gRPC port of this process."""

import re
from typing import Any

import grpc
from starlette.requests import Request

from trunkline.core.errors import InvalidRequestError
from trunkline.core.host_port import is_socket, parse_host_port
from trunkline.gateway.rest.tracing import passed_on
from trunkline.serving.addresses import NO_PROXY
from trunkline.serving.channel import message_limits

_TIMEOUT = "x-request-timeout"
_NUMBER = re.compile(r"[0-9.eE+-]{1,32}")


def open_own_channel(address: str, max_message_bytes: int) -> grpc.aio.Channel:
    """A channel to the port of this process. Nothing is tried again here: that is for who asked."""
    options = [
        *message_limits(max_message_bytes),
        ("grpc.enable_retries", 0),
        NO_PROXY,
    ]
    return grpc.aio.insecure_channel(_reachable(address), options=options)


async def call(channel: grpc.aio.Channel, path: str, message: bytes, request: Request) -> bytes:
    """The response to a message, both as bytes. Raises AioRpcError, InvalidRequestError for a header."""
    timeout = timeout_s(request.headers.get(_TIMEOUT))
    behind: Any = channel.unary_unary(path)
    answer: bytes = await behind(message, timeout=timeout, metadata=passed_on(request.headers))
    return answer


def _reachable(address: str) -> str:
    if is_socket(address):
        return address
    parsed = parse_host_port(address)
    # The server listens on both families for [::], and on IPv4 alone where this machine has no other.
    return str(parsed._replace(host="127.0.0.1") if parsed.bare_host in ("0.0.0.0", "::") else parsed)


def timeout_s(text: str | None) -> float | None:
    """X-Request-Timeout in seconds; None where it is not given. Raises InvalidRequestError."""
    if text is None:
        return None
    try:
        seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise InvalidRequestError("header X-Request-Timeout is a number of seconds above 0")
    return seconds
