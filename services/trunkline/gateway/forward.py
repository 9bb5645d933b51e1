"""A service behind the gateway, on the gateway's own port: calls pass through as bytes, so it needs no code here."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from trunkline.serving.status import from_rpc_error


def forward(service: ServiceDescriptor, channel: grpc.aio.Channel, name: str, default_timeout_s: float) -> Any:
    """A handler of all calls of `service`, for add_generic_rpc_handlers; `name` is for errors where it is away."""
    handlers: dict[str, Any] = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _call(channel.unary_unary(f"/{service.full_name}/{method.name}"), name, default_timeout_s)
        )
        for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _call(behind: Any, name: str, default_timeout_s: float) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def call(request: bytes, context: Any) -> bytes:
        left_s = context.time_remaining()
        try:
            answer: bytes = await behind(request, timeout=default_timeout_s if left_s is None else left_s)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, name) from error
        return answer

    return call
