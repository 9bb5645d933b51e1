"""/v1: the native calls as JSON, by the table of rules."""

from collections.abc import Iterable
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
from trunkline.gateway.rest.forms import FORM, parts_of, require_own_page
from trunkline.gateway.rest.joining import with_pictures
from trunkline.gateway.rest.jsons import fill
from trunkline.gateway.rest.limits import form_limit, json_limit, picture_fields, picture_limit
from trunkline.gateway.rest.rules import Rule, rules
from trunkline.serving.aside import LARGE_BYTES
from trunkline.serving.budget import Hold

_MOST_PARAMETERS = 100


def routes(port: Port) -> list[Route]:
    """One for each rule."""
    return [
        Route(rule.path, Endpoint(_Native(rule, port).answer, as_status, port, rule.call), methods=[rule.verb])
        for rule in rules()
    ]


class _Native:
    """The behaviour of one rule."""

    def __init__(self, rule: Rule, port: Port) -> None:
        self._rule, self._port = rule, port
        self._json_limit = json_limit(rule.method.input_type, port.settings)
        self._picture_limit = picture_limit(port.settings)
        self._form_limit = form_limit(rule.method.input_type, port.settings)
        self._pictures = picture_fields(rule.method.input_type)

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
        if kind == FORM and self._pictures:
            require_own_page(request, self._port.settings)
            values, content_type = _query(rule, request), request.headers["content-type"]
            body = await read_body(request, self._form_limit, hold)
            return await self._port.reading.run(body.work, _from_form, rule, body, content_type, values)
        pictures = ", or image/* with the bytes of the picture" if rule.takes_picture else ""
        forms = f", or {FORM} with {' and '.join(self._pictures)}" if self._pictures else ""
        raise MediaTypeError(f"send Content-Type application/json{pictures}{forms}, not {shown(kind or 'none')!r}")


def _from_json(message: Message, body: Body, path: dict[str, Any]) -> bytes:
    pictures = fill(message, body.take())
    _set(message, path)
    return with_pictures(message, {name: [data] for name, data in pictures.items()})


def _from_picture(message: Message, body: Body, values: dict[str, Any]) -> bytes:
    _set(message, values)
    return with_pictures(message, {"image": body.parts})


def _from_form(rule: Rule, body: Body, content_type: str, values: dict[str, Any]) -> bytes:
    """Files are pictures, one of another name too where there is one picture; texts are as in a query."""
    named = picture_fields(rule.method.input_type)
    pictures: dict[str, list[bytes]] = {}
    texts: dict[str, list[str]] = {}
    for part in parts_of(body.take(), content_type):
        name = named[0] if part.is_file and len(named) == 1 else part.name
        if name in pictures:
            raise InvalidRequestError(f"the form has {shown(name)} twice")
        if name in named:
            pictures[name] = [part.data]
        else:
            texts.setdefault(name, []).append(part.data.decode("utf-8", "replace"))
    message = rule.request()
    _set(message, {**values, **_values(rule, texts.items())})
    return with_pictures(message, pictures)


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
    """Query parameters as JSON values."""
    if request.scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
        raise InvalidRequestError(f"the query has more than {_MOST_PARAMETERS} parameters")
    return _values(rule, ((name, request.query_params.getlist(name)) for name in request.query_params))


def _values(rule: Rule, texts: Iterable[tuple[str, list[str]]]) -> dict[str, Any]:
    """Texts by name as JSON values. Names of heads may be a list with commas: heads=a,b."""
    values: dict[str, Any] = {}
    for name, given in texts:
        field = rule.method.input_type.fields_by_name.get(name)
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
