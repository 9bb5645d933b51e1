"""A channel whose calls carry the request id and the trace of the call that they are made for."""

from typing import Any, Self

import grpc

from trunkline.serving.telemetry.call import outgoing_metadata


class CarryingChannel:
    """Wraps a grpc.aio.Channel and adds metadata to each call.

    Not a client interceptor: those cost a task for each call, and turn streams into other objects.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._channel.__aexit__(*error)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.stream_stream(*arguments, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _Carrying:
    """A method of the channel."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __call__(self, *arguments: Any, metadata: Any = None, **options: Any) -> Any:
        return self._method(*arguments, metadata=(*(metadata or ()), *outgoing_metadata()), **options)
