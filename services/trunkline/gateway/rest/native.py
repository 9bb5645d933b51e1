"""/v1: the native calls as JSON, by the table of rules."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.core.errors import InvalidRequestError
from trunkline.core.text import shown
from trunkline.gateway.rest.body import Body, MediaTypeError, media_type, read_body
from trunkline.gateway.rest.calls import call
from trunkline.gateway.rest.endpoint import Endpoint, PacedResponse, Port
from trunkline.gateway.rest.errors import as_status
from trunkline.gateway.rest.joining import with_pictures
from trunkline.gateway.rest.jsons import fill
from trunkline.gateway.rest.limits import json_limit, picture_limit
from trunkline.gateway.rest.rules import Rule, rules
from trunkline.serving.aside import LARGE_BYTES
from trunkline.serving.budget import Hold

_MOST_PARAMETERS = 100


def routes(port: Port) -> list[Route]:
    """One for each rule."""
    return [
        Route(rule.path, Endpoint(_Native(rule, port).answer, as_status, port), methods=[rule.verb])
        for rule in rules()
    ]


class _Native:
    """The behaviour of one rule."""

    def __init__(self, rule: Rule, port: Port) -> None:
        self._rule, self._port = rule, port
        self._json_limit = json_limit(rule.method.input_type, port.settings)
        self._picture_limit = picture_limit(port.settings)

    async def answer(self, request: Request, hold: Hold) -> Response:
        message = await self._message(request, hold)
        hold.release()  # the gRPC port counts what it receives
        raw = await call(self._port.channel, self._rule.call, message, request)
        del message
        if len(raw) > LARGE_BYTES:
            hold.add(2 * len(raw))
        text = await self._port.answering.run(len(raw), _as_json, self._rule.response, raw)
        return PacedResponse(text, media_type="application/json")

    async def _message(self, request: Request, hold: Hold) -> bytes:
        """Raises InvalidRequestError for what does not fit the request of the call."""
        rule = self._rule
        if not rule.has_body:
            message: Message = rule.request()
            _set(message, {**_query(rule, request), **request.path_params})
            return message.SerializeToString()
        kind = media_type(request)
        # A page in a browser cannot send these types to another site without asking it first.
        if kind == "application/json":
            body = await read_body(request, self._json_limit, hold)
            return await self._port.reading.run(body.work, _from_json, rule.request(), body, request.path_params)
        if rule.takes_picture and (kind.startswith("image/") or kind == "application/octet-stream"):
            values = _query(rule, request)
            body = await read_body(request, self._picture_limit, hold)
            return await self._port.reading.run(body.work, _from_picture, rule.request(), body, values)
        pictures = ", or image/* with the bytes of the picture" if rule.takes_picture else ""
        raise MediaTypeError(f"send Content-Type application/json{pictures}, not {shown(kind or 'none')!r}")


def _from_json(message: Message, body: Body, path: dict[str, Any]) -> bytes:
    pictures = fill(message, body.take())
    _set(message, path)
    return with_pictures(message, {name: [data] for name, data in pictures.items()})


def _from_picture(message: Message, body: Body, values: dict[str, Any]) -> bytes:
    _set(message, values)
    return with_pictures(message, {"image": body.parts})


def _set(message: Message, values: dict[str, Any]) -> None:
    try:
        json_format.ParseDict(values, message)
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        raise InvalidRequestError(f"a parameter does not fit {message.DESCRIPTOR.name}: {shown(error)}") from error


def _as_json(response: Any, raw: bytes) -> str:
    return json_format.MessageToJson(
        response.FromString(raw),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=None,
    )


def _query(rule: Rule, request: Request) -> dict[str, Any]:
    """Query parameters as JSON values. Names of heads may be a list with commas: heads=a,b."""
    if request.scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
        raise InvalidRequestError(f"the query has more than {_MOST_PARAMETERS} parameters")
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
