"""A grpc.aio server that survives any path a caller asks for.

The server of grpc.aio reads the path of each call as text in its main loop. One request whose path is no UTF-8 ends
that loop, and with it the server, for everybody (grpcio 1.85). Here gRPC's core sorts calls by method before Python
sees them: each method that is served has a loop of its own, and what is left has a path that nobody serves, is never
read and gets UNIMPLEMENTED.

So far grpcio offers no public way: this builds on names of its own that are looked for at the start. Where a later
version has others, the server of grpc.aio is used as it is, and a warning says so.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

_NEEDED = {
    "_handle_rpc": ("method_name", "method_resolver", "interceptors", "rpc_state", "loop", "concurrency_exceeded"),
    "_schedule_rpc_coro": ("rpc_coro", "rpc_state", "loop", "method_name"),
}
_METHODS = ("_request_call", "_request_registered_call", "add_registered_method_handlers")
_log = logging.getLogger(__name__)


def make_server(interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[tuple[str, Any]]) -> Any:
    """A grpc.aio.Server; within the event loop that it is for."""
    server = grpc.aio.server(interceptors=interceptors, options=options)
    if not is_known():
        _log.warning("grpcio %s is not known: a request with an odd path may end the server", grpc.__version__)
        # Its generic handlers find each method by name; registered too, all of them cost every call.
        server.add_registered_method_handlers = _leave_out  # type: ignore[method-assign]
        return server
    server._server = _Server(asyncio.get_running_loop(), interceptors, options)  # type: ignore[attr-defined]
    return server


def is_known() -> bool:
    """Whether this version of grpcio has what is needed here."""
    return all(
        getattr(getattr(cygrpc, name, None), "__code__", None) is not None
        and getattr(cygrpc, name).__code__.co_varnames[: len(arguments)] == arguments
        for name, arguments in _NEEDED.items()
    ) and all(hasattr(cygrpc.AioServer, name) for name in _METHODS)


def _leave_out(service_name: str, method_handlers: Mapping[str, Any]) -> None:
    """The generic handler of a service is there already."""


class _Handlers:
    """Finds the handler of a method, as grpc.aio asks for it."""

    def __init__(self) -> None:
        self.by_method: dict[str, Any] = {}

    def resolve_handler(self, details: grpc.HandlerCallDetails) -> Any:
        return self.by_method.get(details.method)


class _Server(cygrpc.AioServer):  # type: ignore[misc]
    """Takes the calls of each registered method in a loop of its own, and refuses all others."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interceptors: Sequence[grpc.aio.ServerInterceptor],
        options: Sequence[tuple[str, Any]],
    ) -> None:
        super().__init__(loop, None, (), tuple(interceptors), tuple(options), None)
        self._own_loop = loop
        self._own_interceptors = tuple(interceptors)
        self._handlers = _Handlers()
        self._tasks: set[asyncio.Task[Any]] = set()

    def add_registered_method_handlers(self, method_handlers: Mapping[str, Any]) -> None:
        super().add_registered_method_handlers(dict(method_handlers))
        self._handlers.by_method.update(method_handlers)

    async def _request_registered_call(self, method: bytes) -> Any:
        """Begins each call of this method as it comes. Ends by what is raised when the server stops."""
        name = method.decode()
        while True:
            state = await super()._request_registered_call(method)
            call = cygrpc._handle_rpc(name, self._handlers, self._own_interceptors, state, self._own_loop, False)
            self._begin(cygrpc._schedule_rpc_coro(call, state, self._own_loop, name))

    async def _request_call(self) -> Any:
        """Refuses each call of a method that is not served. Ends as the above."""
        while True:
            state = await super()._request_call()
            self._begin(cygrpc._schedule_rpc_coro(_refuse(state, self._own_loop), state, self._own_loop, "unknown"))

    def _begin(self, call: Any) -> None:
        task = self._own_loop.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _refuse(state: Any, loop: asyncio.AbstractEventLoop) -> None:
    await cygrpc._ServicerContext(state, None, None, loop).abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
