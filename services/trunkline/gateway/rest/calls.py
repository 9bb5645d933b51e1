"""Calls to the gRPC port of this process."""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request

from trunkline.core.errors import InvalidRequestError
from trunkline.serving.channel import message_limits

_TIMEOUT = "x-request-timeout"
# What a trace and a log line are joined by.
_PASSED_ON = ("traceparent", "tracestate", "x-request-id")


def open_own_channel(address: str, max_message_bytes: int) -> grpc.aio.Channel:
    """A channel to the port of this process. Nothing is tried again here: that is for who asked."""
    host, _, port = address.rpartition(":")
    reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    options = [*message_limits(max_message_bytes), ("grpc.enable_retries", 0)]
    return grpc.aio.insecure_channel(f"{reachable}:{port}", options=options)


async def call(channel: grpc.aio.Channel, path: str, message: Message, response: Any, request: Request) -> Any:
    """The response to a message. Raises AioRpcError, InvalidRequestError for a header."""
    behind: Any = channel.unary_unary(
        path, request_serializer=type(message).SerializeToString, response_deserializer=response.FromString
    )
    return await behind(message, timeout=timeout_s(request.headers), metadata=_metadata(request.headers))


def timeout_s(headers: Mapping[str, str]) -> float | None:
    """X-Request-Timeout in seconds; None where it is not given. Raises InvalidRequestError."""
    text = headers.get(_TIMEOUT)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise InvalidRequestError("header X-Request-Timeout is a number of seconds above 0")
    return seconds


def _metadata(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, headers[name]) for name in _PASSED_ON if name in headers)
