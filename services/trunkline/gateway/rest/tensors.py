"""Requests and responses of /v2: JSON, or JSON with binary tensors behind it; as messages their contents are raw."""

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError

HEADER_LENGTH = "inference-header-content-length"
_DTYPES: Mapping[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}
_LENGTH = struct.Struct("<I")


def read_request(body: bytes, header_length: str | None) -> pb.ModelInferRequest:
    """The message; the model is for the path to say. Raises InvalidRequestError."""
    length = _header_length(header_length, len(body))
    binary = memoryview(body)[length:]
    try:
        document = json.loads(body[:length])
        request = _request(document)
        for tensor in document.get("inputs", []):
            raw, binary = _contents(tensor, binary)
            request.raw_input_contents.append(raw)
    except KeyError as error:
        raise InvalidRequestError(f"the body is no inference request: {error} is missing") from error
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is no JSON: {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidRequestError("the body is no inference request: a value is of the wrong kind") from error
    if len(binary):
        raise InvalidRequestError(f"{len(binary)} bytes follow the last binary tensor")
    return request


def write_response(
    response: pb.ModelInferResponse, asked: Mapping[str, bool], default: bool
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where binary tensors follow it.

    `asked` says by name of the output whether it is to be binary, `default` for those not in it.
    """
    outputs, parts = [], []
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if asked.get(tensor.name, default):
            output["parameters"] = {"binary_data_size": len(raw)}
            parts.append(raw)
        else:
            output["data"] = _data(tensor.datatype, raw)
        outputs.append(output)
    document = {
        "model_name": response.model_name,
        "model_version": response.model_version,
        **({"id": response.id} if response.id else {}),
        "outputs": outputs,
    }
    head = json.dumps(document).encode()
    return b"".join([head, *parts]), len(head) if parts else None


def binary_outputs(request: pb.ModelInferRequest) -> tuple[dict[str, bool], bool]:
    """Which outputs are to be binary, by name, and the others."""
    asked = {
        output.name: output.parameters["binary_data"].bool_param
        for output in request.outputs
        if "binary_data" in output.parameters
    }
    default = "binary_data_output" in request.parameters and request.parameters["binary_data_output"].bool_param
    return asked, default


def _header_length(text: str | None, length: int) -> int:
    if text is None:
        return length
    if not text.isdecimal() or int(text) > length:
        raise InvalidRequestError(f"header Inference-Header-Content-Length is 0 to {length}, not {text!r}")
    return int(text)


def _request(document: Mapping[str, Any]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(id=document.get("id", ""))
    _put_params(request.parameters, document.get("parameters", {}))
    for tensor in document.get("inputs", []):
        made = request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        _put_params(made.parameters, tensor.get("parameters", {}))
    for output in document.get("outputs", []):
        wanted = request.outputs.add(name=output["name"])
        _put_params(wanted.parameters, output.get("parameters", {}))
    return request


def _put_params(target: Any, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}.get(type(value))
        if kind is None:
            raise InvalidRequestError(f"parameter {name!r} is a truth value, a number or a text")
        setattr(target[name], kind, value)


def _contents(tensor: Mapping[str, Any], binary: memoryview) -> tuple[bytes, memoryview]:
    """Raw contents of an input, and what is left of the binary part."""
    params = tensor.get("parameters", {})
    if "binary_data_size" in params:
        size = params["binary_data_size"]
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise InvalidRequestError(f"input {tensor['name']!r} has {size!r} binary bytes; {len(binary)} are left")
        return bytes(binary[:size]), binary[size:]
    values = list(_flat(tensor["data"]))
    if tensor["datatype"] == "BYTES":
        return _bytes(values, params.get("content_type") == "base64"), binary
    dtype = _DTYPES.get(tensor["datatype"])
    # Of a type that no model takes the shape alone is looked at, and refused with a word on what is taken.
    return (np.array(values, dtype).tobytes() if dtype is not None else b""), binary


def _flat(data: Any) -> Iterable[Any]:
    if not isinstance(data, list):
        yield data
        return
    for each in data:
        yield from _flat(each)


def _bytes(values: list[Any], is_base64: bool) -> bytes:
    texts = [value.encode() for value in values]
    if is_base64:
        try:
            texts = [base64.b64decode(text, validate=True) for text in texts]
        except binascii.Error as error:
            raise InvalidRequestError("an element is no base64") from error
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _data(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        numbers: list[Any] = np.frombuffer(raw, _DTYPES[datatype]).tolist()
        return [number if math.isfinite(number) else None for number in numbers]
    texts, start = [], 0
    while start < len(raw):
        (length,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size + length
        texts.append(raw[start - length : start].decode("utf-8", "replace"))
    return texts
