"""Errors of calls as HTTP responses: google.rpc.Status as JSON, or the error object of /v2."""

import logging
import math
from collections.abc import Mapping

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from trunkline.core.errors import TrunklineError
from trunkline.core.text import shown
from trunkline.gateway.rest.body import BodyTooLargeError, MediaTypeError
from trunkline.serving.status import DOMAIN, code_name, retry_delay_s, to_status
from trunkline.serving.trailers import status_in

_log = logging.getLogger(__name__)
# The mapping of google.rpc.Code to HTTP, as code.proto states it.
_HTTP: Mapping[str, int] = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}


def status_of(error: Exception) -> status_pb2.Status:
    """What a call ended with, or what happened here before one was made."""
    if not isinstance(error, grpc.aio.AioRpcError):
        if not isinstance(error, TrunklineError):
            _log.error("bug in the HTTP port", exc_info=error)
        return to_status(error)
    found = status_in(error)
    if found is not None:
        return found
    # Without details it is from the transport, whose words are not for clients.
    number = error.code().value[0]
    text = {"UNAVAILABLE": "the service stops or starts: ask again"}.get(error.code().name)
    return status_pb2.Status(code=number, message=text or error.code().value[1])


def as_status(error: Exception) -> JSONResponse:
    """For /v1: the status with its details."""
    status = status_of(error)
    content = json_format.MessageToDict(status, preserving_proto_field_name=True)
    return JSONResponse(content, http_code(error, status), _headers(status))


def as_error_object(error: Exception) -> JSONResponse:
    """For /v2: {"error": message}."""
    status = status_of(error)
    return JSONResponse({"error": status.message}, http_code(error, status), _headers(status))


async def not_routed(request: Request, error: Exception) -> JSONResponse:
    """For a path or a verb that no route takes."""
    code, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    path = request.scope["path"]
    message = f"there is no {shown(request.method)} {shown(path)} here"
    return refusal(code, grpc.StatusCode.UNIMPLEMENTED, message, path, headers)


def refusal(
    http: int, code: grpc.StatusCode, message: str, path: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to what never became a call, in the form that its path stands for."""
    if path.startswith("/v2"):
        return JSONResponse({"error": message}, http, headers)
    status = status_pb2.Status(code=code.value[0], message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=code.name, domain=DOMAIN))
    return JSONResponse(json_format.MessageToDict(status, preserving_proto_field_name=True), http, headers)


def http_code(error: Exception, status: status_pb2.Status) -> int:
    if isinstance(error, BodyTooLargeError):
        return 413
    return 415 if isinstance(error, MediaTypeError) else _HTTP[code_name(status.code)]


def _headers(status: status_pb2.Status) -> dict[str, str]:
    """Retry-After, which knows whole seconds only; and how to say who asks."""
    if code_name(status.code) == "UNAUTHENTICATED":
        return {"WWW-Authenticate": "Bearer"}
    delay_s = retry_delay_s(status)
    return {} if delay_s is None else {"Retry-After": str(max(1, math.ceil(delay_s)))}
