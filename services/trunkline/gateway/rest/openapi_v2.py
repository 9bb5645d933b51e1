"""The part of openapi.json that is /v2, the Open Inference Protocol; used when the document is made."""

from collections.abc import Mapping
from typing import Any, Final

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.gateway.rest.inference import ROUTES, V2Route
from trunkline.gateway.rest.schemas import Schema, Schemas

_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"
_SERVICE: Final = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_PARAMETERS: Final = {"type": "object", "additionalProperties": True}
_SHAPE: Final = {"type": "array", "items": {"type": "integer"}, "maxItems": 16}
_LENGTH: Final = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of the JSON, where binary tensors follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
_TENSOR: Final[Schema] = {
    "name": {"type": "string"},
    "shape": _SHAPE,
    "datatype": {"type": "string", "enum": ["FP32", "UINT8", "BYTES"]},
    "parameters": {**_PARAMETERS, "description": "binary_data_size: bytes of this tensor behind the JSON."},
    "data": {"type": "array", "description": "Values in row order; BYTES as texts, or as base64.", "items": {}},
}
_SCHEMAS: Final[dict[str, Schema]] = {
    "V2Tensor": {
        "type": "object",
        "description": "A tensor, with its data in JSON or binary behind it.",
        "properties": _TENSOR,
        "required": ["name", "shape", "datatype"],
    },
    "V2InferRequest": {
        "type": "object",
        "description": "What a model is asked. GET of the model says its inputs, outputs and parameters.",
        "properties": {
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/V2Tensor"}},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
                    "required": ["name"],
                },
            },
        },
        "required": ["inputs"],
    },
    "V2InferResponse": {
        "type": "object",
        "description": "What a model answers.",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/V2Tensor"}},
        },
        "required": ["model_name", "outputs"],
    },
    "V2Live": {"type": "object", "description": "Whether it lives.", "properties": {"live": {"type": "boolean"}}},
    "V2Ready": {"type": "object", "description": "Whether it answers.", "properties": {"ready": {"type": "boolean"}}},
    "V2Error": {
        "type": "object",
        "description": "Why there is no answer.",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
    },
    "V2IndexRequest": {
        "type": "object",
        "description": "Which models to list.",
        "properties": {"ready": {"type": "boolean", "description": "Those alone that answer."}},
    },
}


def paths_and_schemas(comments: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Schema]]:
    """Operations by path and verb, and the schemas that they name."""
    schemas = Schemas(comments, "V2", whole=True)
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, schemas, comments)
    return paths, {**schemas.made, **_SCHEMAS}


def _operation(route: V2Route, schemas: Schemas, comments: Mapping[str, str]) -> dict[str, Any]:
    method = _SERVICE.methods_by_name[route.method]
    names = [name for name in ("name", "version") if f"{{{name}}}" in route.path]
    body = _body(route)
    return {
        "operationId": route.method + "".join(map(str.capitalize, names)),
        "tags": [_SERVICE.name],
        "description": comments.get(method.full_name, ""),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
            *([_LENGTH] if route.behaviour == "infer" else []),
            {"$ref": "#/components/parameters/Timeout"},
        ],
        **({"requestBody": body} if body else {}),
        "responses": {
            "200": {"description": "The answer.", "content": _answers(route, schemas)},
            "default": {"description": "Why there is no answer.", "content": {_JSON: {"schema": _ref("V2Error")}}},
        },
    }


def _body(route: V2Route) -> dict[str, Any] | None:
    if route.behaviour == "infer":
        return {"required": True, "content": {_JSON: {"schema": _ref("V2InferRequest")}, _BINARY: {}}}
    if route.behaviour == "index":
        return {"required": True, "content": {_JSON: {"schema": _ref("V2IndexRequest")}}}
    return None


def _answers(route: V2Route, schemas: Schemas) -> dict[str, Any]:
    answer = _SERVICE.methods_by_name[route.method].output_type
    match route.behaviour:
        case "infer":
            return {_JSON: {"schema": _ref("V2InferResponse")}, _BINARY: {}}
        case "live":
            return {_JSON: {"schema": _ref("V2Live")}}
        case "ready" | "model_ready":
            return {_JSON: {"schema": _ref("V2Ready")}}
        case "index":
            items = schemas.field(answer.fields_by_name["models"])["items"]
            return {_JSON: {"schema": {"type": "array", "items": items}}}
        case "config":
            return {_JSON: {"schema": schemas.field(answer.fields_by_name["config"])}}
    return {_JSON: {"schema": schemas.message(answer)}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
