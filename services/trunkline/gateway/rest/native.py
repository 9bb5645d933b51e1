"""/v1: the native calls as JSON, by the table of rules."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.rest.body import MediaTypeError, media_type, read_body
from trunkline.gateway.rest.calls import call
from trunkline.gateway.rest.errors import as_status
from trunkline.gateway.rest.rules import Rule, rules

_Endpoint = Callable[[Request], Awaitable[Response]]


def routes(channel: grpc.aio.Channel, limit_bytes: int) -> list[Route]:
    """One for each rule."""
    return [Route(rule.path, _endpoint(rule, channel, limit_bytes), methods=[rule.verb]) for rule in rules()]


def _endpoint(rule: Rule, channel: grpc.aio.Channel, limit_bytes: int) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            message = await _message(rule, request, limit_bytes)
            answer = await call(channel, rule.call, message, rule.response, request)
        except Exception as error:  # every error gets its status
            return as_status(error)
        text = json_format.MessageToJson(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
        )
        return Response(text, media_type="application/json")

    return endpoint


async def _message(rule: Rule, request: Request, limit_bytes: int) -> Message:
    """Raises InvalidRequestError for what does not fit the request of the call."""
    message: Message = rule.request()
    if not rule.has_body:
        _set(message, {**_query(rule, request), **request.path_params})
        return message
    kind = media_type(request)
    # A page in a browser cannot send these types to another site without asking it first.
    if kind == "application/json":
        _parse(message, await read_body(request, limit_bytes))
        _set(message, request.path_params)
    elif rule.takes_picture and (kind.startswith("image/") or kind == "application/octet-stream"):
        _set(message, _query(rule, request))
        message.image.data = await read_body(request, limit_bytes)  # type: ignore[attr-defined]
    else:
        pictures = ", or image/* with the bytes of the picture" if rule.takes_picture else ""
        raise MediaTypeError(f"send Content-Type application/json{pictures}, not {kind or 'none'!r}")
    return message


def _parse(message: Message, body: bytes) -> None:
    try:
        json_format.Parse(body or b"{}", message)
    except RecursionError as error:
        raise InvalidRequestError("the body is nested too deeply") from error
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"the body is no JSON of {message.DESCRIPTOR.name}: {error}") from error


def _set(message: Message, values: dict[str, Any]) -> None:
    try:
        json_format.ParseDict(values, message)
    except json_format.ParseError as error:
        raise InvalidRequestError(f"a parameter does not fit {message.DESCRIPTOR.name}: {error}") from error


def _query(rule: Rule, request: Request) -> dict[str, Any]:
    """Query parameters as JSON values. Names of heads may be a list with commas: heads=a,b."""
    values: dict[str, Any] = {}
    for name in request.query_params:
        field = rule.method.input_type.fields_by_name.get(name)
        given = request.query_params.getlist(name)
        if field is not None and field.is_repeated:
            parts = [part.strip() for each in given for part in each.split(",")]
            values[name] = [{"head": part} for part in parts] if field.message_type else parts
        else:
            values[name] = _scalar(field, given[-1])
    return values


def _scalar(field: FieldDescriptor | None, text: str) -> Any:
    if field is not None and field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    return text
