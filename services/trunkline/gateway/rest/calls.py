"""Calls to the gRPC server of this process."""

import re
from typing import Any

import grpc
from starlette.requests import Request

from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.rest.entrance import said_of
from trunkline.gateway.rest.tracing import passed_on
from trunkline.serving.addresses import NO_PROXY
from trunkline.serving.channel import dial_aio, message_limits

_TIMEOUT = "x-request-timeout"
_NUMBER = re.compile(r"[0-9.eE+-]{1,32}")


def open_own_channel(address: str, max_message_bytes: int) -> grpc.aio.Channel:
    """A channel to the own socket of this process. Nothing is tried again here: that is for who asked."""
    options = [
        *message_limits(max_message_bytes),
        ("grpc.enable_retries", 0),
        NO_PROXY,
    ]
    return dial_aio(address, options)


async def call(channel: grpc.aio.Channel, path: str, message: bytes, request: Request) -> bytes:
    """The response to a message, both as bytes. Raises AioRpcError, InvalidRequestError for a header."""
    timeout = timeout_s(request.headers.get(_TIMEOUT))
    behind: Any = channel.unary_unary(path)
    answer: bytes = await behind(message, timeout=timeout, metadata=(*passed_on(request.headers), *said_of(request)))
    return answer


def timeout_s(text: str | None) -> float | None:
    """X-Request-Timeout in seconds; None where it is not given. Raises InvalidRequestError."""
    if text is None:
        return None
    try:
        seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise InvalidRequestError("header X-Request-Timeout must be a number of seconds above 0")
    return seconds
