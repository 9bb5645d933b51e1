"""openapi.json, the document of the HTTP port, from the tables of its routes, the messages and their comments.

`make proto` writes it; it is served as it is at /openapi.json.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import status_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.gateway.rest import openapi_v2
from trunkline.gateway.rest.endpoint import PacedResponse
from trunkline.gateway.rest.forms import FORM
from trunkline.gateway.rest.limits import picture_fields
from trunkline.gateway.rest.rules import Rule, rules
from trunkline.gateway.rest.schemas import Schema, Schemas, comments_of

PATH = "/openapi.json"
_FILE = Path(__file__).with_name("openapi.json")
_JSON = "application/json"
_ABOUT = (
    "Every answer is protobuf's JSON with the field names of the contract; requests may have them in camelCase too. "
    "A picture is base64 in JSON, or the body itself with its own type and the rest in the query. Errors are a "
    "google.rpc.Status with google.rpc.ErrorInfo among its details. A form (multipart/form-data) has pictures as "
    'files and the rest as texts. /v2 is the Open Inference Protocol, whose errors are {"error": message}.'
)
_TIMEOUT = {
    "name": "X-Request-Timeout",
    "in": "header",
    "description": "The deadline of the call, seconds.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_KEY = {"type": "http", "scheme": "bearer", "description": "A key, or a token, where TRUNKLINE_AUTH asks for one."}
_RETRY = {"description": "Seconds after which a new try makes sense, where it does.", "schema": {"type": "integer"}}


def route() -> Route:
    """Answers the document."""
    return Route(PATH, _answer, methods=["GET"])


async def _answer(request: Request) -> Response:
    return PacedResponse(_text(), media_type=_JSON)


@cache
def _text() -> bytes:
    return _FILE.read_bytes()


def document(files: Iterable[FileDescriptorProto]) -> dict[str, Any]:
    """The document as OpenAPI 3.1; `files` are the protos with their comments."""
    comments = comments_of(files)
    schemas = Schemas(comments)
    paths: dict[str, Any] = {}
    for rule in sorted(rules(), key=lambda rule: rule.path):
        path = re.sub(r":path}", "}", rule.path)
        paths.setdefault(path, {})[rule.verb.lower()] = _operation(rule, schemas, comments)
    v2_paths, v2_schemas = openapi_v2.paths_and_schemas(comments)
    error = {
        "description": "Why there is no answer.",
        "headers": {"Retry-After": _RETRY},
        "content": {_JSON: {"schema": schemas.message(status_pb2.Status.DESCRIPTOR)}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline", "version": "v1", "description": _ABOUT},
        "paths": {**paths, **v2_paths},
        "components": {
            "schemas": dict(sorted({**schemas.made, **v2_schemas}.items())),
            "parameters": {"Timeout": _TIMEOUT},
            "responses": {"Error": error},
            "securitySchemes": {"key": _KEY},
        },
        "security": [{}, {"key": []}],  # none where TRUNKLINE_AUTH is off
    }


def _operation(rule: Rule, schemas: Schemas, comments: dict[str, str]) -> dict[str, Any]:
    body = {"requestBody": _body(rule, schemas)} if rule.has_body else {}
    return {
        "operationId": rule.method.name,
        "tags": [rule.method.containing_service.name],
        "description": comments.get(rule.method.full_name, ""),
        "parameters": [*_parameters(rule, schemas), {"$ref": "#/components/parameters/Timeout"}],
        **body,
        "responses": {
            "200": {
                "description": comments.get(rule.method.output_type.full_name, "The answer."),
                "content": {_JSON: {"schema": schemas.message(rule.method.output_type)}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    }


def _body(rule: Rule, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {_JSON: {"schema": schemas.message(rule.method.input_type)}}
    if rule.takes_picture:
        content |= {"image/*": {}, "application/octet-stream": {}}
    if pictures := picture_fields(rule.method.input_type):
        content[FORM] = {"schema": _form(rule, schemas, pictures)}
    return {"required": True, "content": content}


def _form(rule: Rule, schemas: Schemas, pictures: Sequence[str]) -> Schema:
    files = {name: {"type": "string", "contentMediaType": "image/*"} for name in pictures}
    texts = {
        found["name"]: found["schema"]
        for field in rule.method.input_type.fields
        if field.name not in pictures
        for found in _in_query(field, schemas)
    }
    return {"type": "object", "properties": {**files, **texts}, "required": list(pictures)}


def _parameters(rule: Rule, schemas: Schemas) -> Iterator[Schema]:
    """Those of the path, and, where the body is no JSON, those of the query."""
    in_path = set(re.findall(r"{(\w+)", rule.path))
    for field in rule.method.input_type.fields:
        if field.name in in_path:
            yield {"name": field.name, "in": "path", "required": True, **_described(schemas.field(field))}
        elif not rule.has_body or (rule.takes_picture and field.name != "image"):
            yield from _in_query(field, schemas)


def _in_query(field: FieldDescriptor, schemas: Schemas) -> Iterator[Schema]:
    if field.message_type is None:
        found = schemas.field(field)
    elif field.is_repeated and "head" in field.message_type.fields_by_name:
        names = {"type": "array", "items": {"type": "string"}}
        found = {**names, "description": "Names of heads, beside a body that is a picture."}
    else:
        return
    listed = {"style": "form", "explode": False} if field.is_repeated else {}
    yield {"name": field.name, "in": "query", **listed, **_described(found)}


def _described(schema: Schema) -> Schema:
    """Of a parameter: its comment stands beside its schema."""
    comment = schema.pop("description", None)
    return {"description": comment, "schema": schema} if comment else {"schema": schema}


if __name__ == "__main__":
    made = document(FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes()).file)
    print(json.dumps(made, indent=1, ensure_ascii=False))
