"""Around every call of every service: its request id, its metrics, its span, its line in the access log."""

from __future__ import annotations  # the generics of grpc exist for type checkers alone

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from trunkline.serving.telemetry.call import current_call
from trunkline.serving.telemetry.observation import Observation
from trunkline.serving.telemetry.telemetry import Telemetry

_received: ContextVar[int] = ContextVar("received", default=0)  # bytes of a request that came before its call began


class ObservingInterceptor(grpc.aio.ServerInterceptor):
    """The outermost one: it sees the status that a call ends with."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is not None:  # only what is registered is kept: callers can make up names without end
                handler = self._handlers[method] = self._observed(handler, method.lstrip("/"))
        return handler

    def _observed(self, handler: grpc.RpcMethodHandler[Any, Any], method: str) -> Any:
        def observe(context: Any) -> Observation:
            return Observation(self._telemetry, method, context)

        kind, behaviour = _behaviour(handler)
        if kind.endswith("_unary"):
            wrapped: Any = _one_answer(behaviour, observe, counted=kind == "unary_unary")
        # Health and reflection have streams that are no generators; nobody asks how long a watch was open.
        elif inspect.isasyncgenfunction(behaviour):
            wrapped = _many_answers(behaviour, observe, counted=kind == "unary_stream")
        else:
            return handler
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        if self._telemetry.metrics is None:
            return make(wrapped, handler.request_deserializer, handler.response_serializer)
        return make(wrapped, _measured_in(handler.request_deserializer), self._measured_out(handler, kind, method))

    def _measured_out(self, handler: grpc.RpcMethodHandler[Any, Any], kind: str, method: str) -> Any:
        """The serializer, with the size of what it makes counted."""
        serialize, metrics = handler.response_serializer, self._telemetry.metrics
        if kind.endswith("_stream") or metrics is None:
            return _measured_stream_out(serialize)
        sent = metrics.sent

        def measured(message: Any) -> bytes:
            data: bytes = message if serialize is None else serialize(message)
            sent.add(len(data), method, "OK")
            return data

        return measured


def _behaviour(handler: Any) -> tuple[str, Any]:
    for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        if getattr(handler, kind) is not None:
            return kind, getattr(handler, kind)
    raise TypeError(f"a handler without behaviour: {handler}")


def _one_answer(behaviour: Any, observe: Callable[[Any], Observation], *, counted: bool) -> Any:
    async def call(request: Any, context: Any) -> Any:
        with observe(context) as call:
            if counted:
                call.received_bytes = _received.get()
            return await behaviour(request, context)

    return call


def _many_answers(behaviour: Any, observe: Callable[[Any], Observation], *, counted: bool) -> Any:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        with observe(context) as call:
            call.streams = True
            if counted:
                call.received_bytes = _received.get()
            async for message in behaviour(request, context):
                yield message

    return stream


def _measured_in(deserialize: Any) -> Any:
    def measured(data: bytes) -> Any:
        call = current_call()
        if call is None:
            _received.set(len(data))
        else:
            call.received_bytes += len(data)
        return data if deserialize is None else deserialize(data)

    return measured


def _measured_stream_out(serialize: Any) -> Any:
    def measured(message: Any) -> bytes:
        data: bytes = message if serialize is None else serialize(message)
        call = current_call()
        if call is not None:
            call.sent_bytes += len(data)
        return data

    return measured
