"""A channel that is made anew when the files of its certificates have changed."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc

_LAST_CALLS_S = 600.0  # for calls that were begun before, such as streams


class RenewedChannel:
    """Wraps grpc.aio.Channels, one after the other: a channel keeps the certificate with which it was made.

    Calls that were begun go on where they are; those after them go through the new one.
    """

    def __init__(self, open_now: Callable[[], grpc.aio.Channel], number: Callable[[], int]) -> None:
        """number: of the content of the files; another one means that they have changed."""
        self._open, self._number = open_now, number
        self._of = number()
        self._channel = open_now()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        for closing in self._closing:
            closing.cancel()
        await self._channel.close()

    def current(self) -> grpc.aio.Channel:
        """The channel for a call that begins now."""
        number = self._number()
        if number != self._of:
            before, self._of, self._channel = self._channel, number, self._open()
            closing = asyncio.get_running_loop().create_task(before.close(_LAST_CALLS_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return self._channel

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Renewed(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Renewed(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Renewed(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Renewed(self, "stream_stream", arguments, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _Renewed:
    """A method of the channel, which is asked of each new one again."""

    def __init__(self, owner: RenewedChannel, kind: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._owner, self._kind, self._arguments, self._options = owner, kind, arguments, options
        self._of: grpc.aio.Channel | None = None
        self._method: Any = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        channel = self._owner.current()
        if channel is not self._of:
            self._of, self._method = channel, getattr(channel, self._kind)(*self._arguments, **self._options)
        return self._method(*arguments, **options)
