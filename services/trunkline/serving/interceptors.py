"""The one place where requests are received and errors become statuses, for every call of every service."""

from __future__ import annotations  # the generics of grpc exist for type checkers alone

import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message

from trunkline.core.errors import QueueFullError, TrunklineError, UnsupportedError
from trunkline.serving.aside import LARGE_BYTES
from trunkline.serving.begun import heavy_check, say_begun
from trunkline.serving.budget import Hold
from trunkline.serving.receiving import Parse, Receiver, Rules
from trunkline.serving.security.door import Door, is_denial
from trunkline.serving.security.quota import Meter
from trunkline.serving.security.security import Security
from trunkline.serving.status import end_with, forget_frames

_MOST_STREAMS = 1024  # open at a time; each takes some 30 KB while nothing happens
_log = logging.getLogger(__name__)


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Receives the requests of every call within limits, and maps what a call raises to its status.

    All methods become ones that read a stream of requests, as only those can end a call that is half received. The
    text of a bug goes to the log, never to the client.
    """

    def __init__(self, receiver: Receiver, rules: Callable[[str], Rules], security: Security) -> None:
        """`rules` gives those of a method by its full name."""
        self._receiver = receiver
        self._rules = rules
        self._security = security
        self._open_streams = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method
        requests = _Requests(self._receiver, handler, self._rules(name), Door(self._security, name))
        if not handler.response_streaming:
            behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
            return grpc.stream_unary_rpc_method_handler(
                _one_answer(behaviour, requests, name), None, handler.response_serializer
            )
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        # The watch of health is no generator: it writes its answers itself.
        wrap = _many_answers if inspect.isasyncgenfunction(behaviour) else _written_answers
        return grpc.stream_stream_rpc_method_handler(
            wrap(behaviour, requests, name, self._stream_opened), None, handler.response_serializer
        )

    @contextlib.contextmanager
    def _stream_opened(self) -> Iterator[None]:
        if self._open_streams >= _MOST_STREAMS:
            raise QueueFullError(
                f"{_MOST_STREAMS} streams are open, which is the limit: try again later",
                retry_after_s=1.0,
                limit=_MOST_STREAMS,
            )
        self._open_streams += 1
        try:
            yield
        finally:
            self._open_streams -= 1


class _Requests:
    """How the requests of one method are received."""

    def __init__(self, receiver: Receiver, handler: Any, rules: Rules, door: Door) -> None:
        self._receiver = receiver
        self._parse: Parse = handler.request_deserializer
        self._rules = rules
        self.door = door
        self.is_stream = handler.request_streaming
        self.is_heavy = heavy_check(None if self.is_stream else rules.of)

    def hold(self) -> Hold:
        """For the bytes of a call; to be released when it ends."""
        return self._receiver.budget.hold()

    def hold_answer(self, answer: Any, context: Any) -> None:
        """Until it has left. Raises MemoryFullError where too much that is large waits for callers to read it."""
        size = answer.ByteSize() if isinstance(answer, Message) else len(answer or b"")
        if size > LARGE_BYTES:
            held = self._receiver.answers.hold(size)
            context.add_done_callback(lambda _: held.release())

    def each(self, context: Any) -> AsyncIterator[Any]:
        """All of a stream, as they come."""
        return self._receiver.each(context, self._parse, self._rules)

    def only(self, context: Any, held: Hold) -> Awaitable[Any]:
        """The one of a call."""
        return self._receiver.only(context, self._parse, self._rules, held)


_Opened = Callable[[], contextlib.AbstractContextManager[None]]


class _Call:
    """Around one call: its bytes are held until it ends, and what it raises ends it with a status."""

    __slots__ = ("_context", "_held", "_meter", "_name", "_requests")

    def __init__(self, requests: _Requests, context: Any, name: str) -> None:
        self._requests, self._context, self._name = requests, context, name
        self._held = requests.hold()
        self._meter: Meter | None = None

    async def requests(self) -> Any:
        """What a behaviour is called with, once its caller was let in.

        The caller of a heavy one is told that it is worked on from now on.
        """
        self._meter = self._requests.door.enter(self._context)
        if self._requests.is_stream:
            return self._requests.each(self._context)
        found = await self._requests.only(self._context, self._held)
        if self._requests.is_heavy(found):
            await say_begun(self._context)
        return found

    def ended(self) -> None:
        self._held.release()
        if self._meter is not None:
            self._meter.leave()
            self._meter = None

    async def failed(self, error: Exception) -> None:
        known = _known(error, self._name)
        if is_denial(known):
            self._requests.door.denied(self._context, known)
        forget_frames(error)  # before anything is awaited, as the request is in them
        self.ended()
        # An InternalError says that who asked has just gone.
        if not isinstance(known, grpc.aio.AbortError | grpc.aio.InternalError):
            await end_with(self._context, known)

    async def __aenter__(self) -> _Call:
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, Exception):
            del trace
            await self.failed(error)
            return True
        self.ended()
        return False


def _one_answer(behaviour: Any, requests: _Requests, name: str) -> Any:
    behaviour = requests.door.recorded(behaviour)

    async def answer(_: Any, context: Any) -> Any:
        call = _Call(requests, context, name)
        try:  # what `async with` does, for most calls without its two coroutines
            found = await behaviour(await call.requests(), context)
            requests.hold_answer(found, context)
        except Exception as error:
            await call.failed(error)
            return None
        except BaseException:
            call.ended()
            raise
        call.ended()
        return found

    return answer


def _many_answers(behaviour: Any, requests: _Requests, name: str, opened: _Opened) -> Any:
    behaviour = requests.door.recorded_stream(behaviour)

    async def stream(_: Any, context: Any) -> AsyncIterator[Any]:
        async with _Call(requests, context, name) as call:
            with opened():
                async for message in behaviour(await call.requests(), context):
                    yield message

    return stream


def _written_answers(behaviour: Any, requests: _Requests, name: str, opened: _Opened) -> Any:
    async def stream(_: Any, context: Any) -> None:
        async with _Call(requests, context, name) as call:
            with opened():
                await behaviour(await call.requests(), context)

    return stream


def _known(error: Exception, name: str) -> Exception:
    """The error that a caller is told of; one that is a bug goes to the log."""
    if isinstance(error, NotImplementedError):  # of a method that its contract has and its servicer has not
        return UnsupportedError("this method is not served here")
    if not isinstance(error, TrunklineError | grpc.aio.AbortError | grpc.aio.InternalError):
        _log.error("bug in %s", name, exc_info=error)
    return error
