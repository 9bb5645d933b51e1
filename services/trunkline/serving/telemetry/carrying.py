"""A channel whose calls carry metadata: request id and trace of the call that they are made for, or a token."""

from collections.abc import Callable
from typing import Any, Self

import grpc

from trunkline.serving.telemetry.call import Pairs


class CarryingChannel:
    """Wraps a grpc.aio.Channel, or one for plain code, and adds metadata to each call.

    Not a client interceptor: those cost a task for each call, and turn streams into other objects.
    """

    def __init__(self, channel: "grpc.aio.Channel | grpc.Channel", metadata: Callable[[], Pairs]) -> None:
        self._channel: Any = channel
        self._metadata = metadata

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._channel.__aexit__(*error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._channel.close()

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.unary_unary(*arguments, **options), self._metadata)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.unary_stream(*arguments, **options), self._metadata)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.stream_unary(*arguments, **options), self._metadata)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Carrying(self._channel.stream_stream(*arguments, **options), self._metadata)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _Carrying:
    """A method of the channel."""

    def __init__(self, method: Any, metadata: Callable[[], Pairs]) -> None:
        self._method, self._metadata = method, metadata

    def __call__(self, *arguments: Any, metadata: Any = None, **options: Any) -> Any:
        return self._method(*arguments, metadata=(*(metadata or ()), *self._metadata()), **options)

    def with_call(self, *arguments: Any, metadata: Any = None, **options: Any) -> Any:
        """Of plain code alone, as is `future`."""
        return self._method.with_call(*arguments, metadata=(*(metadata or ()), *self._metadata()), **options)

    def future(self, *arguments: Any, metadata: Any = None, **options: Any) -> Any:
        return self._method.future(*arguments, metadata=(*(metadata or ()), *self._metadata()), **options)
