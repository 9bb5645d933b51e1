"""A service behind the gateway, on the gateway's own port: calls pass through as bytes, so it needs no code here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from trunkline.core.errors import ServiceUnavailableError
from trunkline.serving.security.callers import current_caller
from trunkline.serving.security.peers import behalf_of
from trunkline.serving.status import from_rpc_error


class Forward:
    """Passes the calls of `service` on. `name` is for errors where it is away.

    default_timeout_s: of calls with one answer that bring no deadline; None leaves them without. Streams of answers
    last as long as who asked for them wishes. metadata: what the gateway says to the service with each call.
    """

    def __init__(
        self,
        service: ServiceDescriptor,
        channel: grpc.aio.Channel,
        name: str,
        default_timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._service = service
        self._channel = channel
        self._name = name
        self._default_timeout_s = default_timeout_s
        self._metadata = tuple(metadata)
        self._streams: set[Any] = set()
        self._stopping = False

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve all calls of the service."""
        name = self._service.full_name
        methods = {method.name: self._handler(method) for method in self._service.methods}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        server.add_registered_method_handlers(name, methods)

    def stop(self) -> None:
        """End all streams, so that who watches goes on with another gateway."""
        self._stopping = True
        for stream in self._streams:
            stream.cancel()

    def _handler(self, method: MethodDescriptor) -> Any:
        path = f"/{self._service.full_name}/{method.name}"
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(self._channel.unary_stream(path)))
        return grpc.unary_unary_rpc_method_handler(self._call(self._channel.unary_unary(path)))

    def _call(self, behind: Any) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(request: bytes, context: Any) -> bytes:
            left_s = context.time_remaining()
            try:
                timeout_s = self._default_timeout_s if left_s is None else left_s
                said = (*self._metadata, *behalf_of(current_caller()))
                answer: bytes = await behind(request, timeout=timeout_s, metadata=said)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self._name) from error
            return answer

        return call

    def _stream(self, behind: Any) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            if self._stopping:
                raise self._stops()
            call = behind(request, timeout=context.time_remaining(), metadata=behalf_of(current_caller()))
            self._streams.add(call)
            try:
                async for message in call:
                    yield message
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self._name) from error
            except asyncio.CancelledError:
                if self._stopping:
                    raise self._stops() from None
                raise
            finally:
                self._streams.discard(call)
                call.cancel()

        return stream

    def _stops(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(f"the gateway in front of {self._name} stops: ask again", service=self._name)
