"""The one place where errors become statuses, for every call of every service."""

from __future__ import annotations  # the generics of grpc exist for type checkers alone

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from trunkline.core.errors import TrunklineError
from trunkline.serving.status import abort

_log = logging.getLogger(__name__)
_Method = Callable[[Any, Any], Awaitable[Any]]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps what a unary call raises to its status; the text of a bug goes to the log, never to the client."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary, handler_call_details.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _guarded(method: _Method, name: str) -> _Method:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await method(request, context)
        except grpc.aio.AbortError:
            raise
        except TrunklineError as error:
            await abort(context, error)
        except Exception as error:
            _log.exception("bug in %s", name)
            await abort(context, error)

    return call
