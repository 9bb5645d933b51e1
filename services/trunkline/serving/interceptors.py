"""The one place where errors become statuses, for every call of every service."""

from __future__ import annotations  # the generics of grpc exist for type checkers alone

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from trunkline.core.errors import TrunklineError
from trunkline.serving.limits import check_message
from trunkline.serving.status import abort

_log = logging.getLogger(__name__)
_Method = Callable[[Any, Any], Awaitable[Any]]
_Stream = Callable[[Any, Any], AsyncIterator[Any]]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps what a call raises to its status, also in the middle of a stream of answers.

    The text of a bug goes to the log, never to the client.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        name = handler_call_details.method
        if handler is not None and handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _guarded(handler.unary_unary, name),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        # Health and reflection have streams that are no generators; they raise no error of ours.
        if handler is not None and inspect.isasyncgenfunction(handler.unary_stream):
            return grpc.unary_stream_rpc_method_handler(
                _guarded_stream(handler.unary_stream, name),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler is not None and inspect.isasyncgenfunction(handler.stream_stream):
            return grpc.stream_stream_rpc_method_handler(
                _guarded_stream(handler.stream_stream, name),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler


def _guarded(method: _Method, name: str) -> _Method:
    async def call(request: Any, context: Any) -> Any:
        try:
            _check(request)
            return await method(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _end(context, error, name)

    return call


def _guarded_stream(method: _Stream, name: str) -> _Stream:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            _check(request)
            async for message in method(request, context):
                yield message
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _end(context, error, name)

    return stream


def _check(request: Any) -> None:
    """Not of a stream of requests, which answers each by itself, nor of bytes that are passed on."""
    if isinstance(request, Message):
        check_message(request)


async def _end(context: Any, error: Exception, name: str) -> None:
    if not isinstance(error, TrunklineError):
        _log.error("bug in %s", name, exc_info=error)
    await abort(context, error)
