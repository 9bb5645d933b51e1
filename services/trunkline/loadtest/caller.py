"""Sends calls to a gateway as the client does, and reads their answers only by their status."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import grpc

from trunkline.client import ServiceError, UnreachableError
from trunkline.client.connection import open_aio, options_for
from trunkline.client.errors import from_rpc_error
from trunkline.loadtest.mix import Call
from trunkline.loadtest.recorder import OK
from trunkline.loadtest.retries import policy_of
from trunkline.serving.begun import was_begun

_MOST_KEPT_BYTES = 256 * 1024 * 1024


class Answer(NamedTuple):
    """What became of a call: `error` where it is none of OK; `retries`, the tries after the first."""

    call: Call
    error: ServiceError | None
    retries: int

    @property
    def code(self) -> str:
        return OK if self.error is None else self.error.code


class Caller:
    """Channels to one gateway, taken in turn. Make it inside the event loop."""

    def __init__(self, target: str, connections: int = 1) -> None:
        self.target = target
        options = options_for(target)
        self._policy = policy_of(options)
        # Each channel gets a connection of its own; retries are done here, where they are seen.
        own = [*options, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        self._channels = [open_aio(target, options=own) for _ in range(connections)]
        self._turn = itertools.cycle(self._channels)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close()

    async def send(self, call: Call, request: bytes, timeout_s: float) -> Answer:
        """One call with its retries, all within `timeout_s`."""
        ends_at = time.perf_counter() + timeout_s
        for attempt in itertools.count(1):
            error, begun = await self._try(call, request, max(0.0, ends_at - time.perf_counter()), timeout_s)
            if error is None or begun or not self._policy.again(attempt, error.code):
                return Answer(call, error, attempt - 1)
            pause_s = self._policy.pause_s(attempt)
            if time.perf_counter() + pause_s >= ends_at:
                return Answer(call, error, attempt - 1)
            await asyncio.sleep(pause_s)
        raise AssertionError("tries have no end")

    async def check(self, calls: Sequence[Call], picture: bytes, timeout_s: float) -> None:
        """Raise the error of a kind of call that the service can never answer, or if there is no service."""
        for call in calls:
            error = (await self.send(call, call.request(picture, picture), timeout_s)).error
            if isinstance(error, UnreachableError):
                raise error
            if error is not None and error.code in _NEVER:
                text = f"{call.name}: {error.message}"
                raise ServiceError(error.code, error.reason, text, error.metadata)

    async def _try(
        self, call: Call, request: bytes, left_s: float, timeout_s: float
    ) -> tuple[ServiceError | None, bool]:
        """How it ended, and whether a server had begun with it, so that gRPC would not try it again."""
        channel = next(self._turn)
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(call.path)
        try:
            await method(request, timeout=left_s)
        except grpc.RpcError as error:
            return from_rpc_error(error, self.target, timeout_s), was_begun(error)
        return None, False


_NEVER = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "PERMISSION_DENIED"})


class Requests:
    """Requests without end: a call of the mix about the next picture."""

    def __init__(self, turns: Iterator[Call], pictures: Iterator[bytes], *, keep: bool) -> None:
        """keep: whether the pictures come again, so that encoded requests are worth their memory."""
        self._turns, self._pictures, self._keep = turns, pictures, keep
        self._made: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        self._last = next(pictures)
        self._room = _MOST_KEPT_BYTES

    def next(self) -> tuple[Call, bytes]:
        call, picture = next(self._turns), next(self._pictures)
        other, self._last = self._last, picture
        if not self._keep or call.method == "compare":
            return call, call.request(picture, other)
        key = (call.name, id(picture))
        if key not in self._made:
            request = call.request(picture, other)
            if self._room < len(request):
                return call, request
            self._room -= len(request)
            self._made[key] = (picture, request)  # the picture too, so that its id stays its own
        return call, self._made[key][1]
