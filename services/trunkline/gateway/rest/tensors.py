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
from trunkline.core.text import shown
from trunkline.gateway.rest.body import Body, check_values, too_large
from trunkline.gateway.rest.jsons import load
from trunkline.gateway.rest.limits import BodyLimit

HEADER_LENGTH = "inference-header-content-length"
_DTYPES: Mapping[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}
_LENGTH = struct.Struct("<I")
_MOST_DIGITS = 12
_MOST_TENSORS = 64
_MOST_PARAMETERS = 64
_MOST_DIMENSIONS = 16
# Of an output as JSON: json takes 20 characters for each, and holds the GIL for as many as it gets at once.
_MOST_NUMBERS = 1024 * 1024
_NUMBERS_AT_ONCE = 16 * 1024


def header_length(text: str | None) -> int | None:
    """The header Inference-Header-Content-Length; None where it is not given. Raises InvalidRequestError."""
    if text is None:
        return None
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise InvalidRequestError(
            f"header Inference-Header-Content-Length is the number of bytes of the JSON, not {shown(text)!r}"
        )
    return int(text)


def read_request(
    body: bytes, length: int | None, limit: BodyLimit
) -> tuple[pb.ModelInferRequest, list[bytes | memoryview]]:
    """The message, and its raw contents, which it leaves out; the model is for the path to say.

    The JSON of the body is its first `length` bytes, or all of it.

    Raises InvalidRequestError, BodyTooLargeError for JSON over the limit.
    """
    head = body if length is None else body[:length]
    if length is not None and length > len(body):
        raise InvalidRequestError(f"header Inference-Header-Content-Length is 0 to {len(body)}, not {length}")
    if len(head) > limit.bytes:
        raise too_large(limit)
    counted = Body()
    counted.count(head)
    check_values(counted, limit)
    binary = memoryview(body)[len(head) :]
    document = load(head)
    try:
        request = _request(document)
        contents = []
        for tensor in document.get("inputs", []):
            raw, binary = _contents(tensor, binary)
            contents.append(raw)
    except KeyError as error:
        raise InvalidRequestError(f"the body is not an inference request: {shown(error)} is missing") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidRequestError("the body is not an inference request: a value is of the wrong kind") from error
    if len(binary):
        raise InvalidRequestError(f"{len(binary)} bytes follow the last binary tensor")
    return request, contents


def write_response(
    response: pb.ModelInferResponse, asked: Mapping[str, bool], default: bool
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where binary tensors follow it.

    `asked` says by name of the output whether it is to be binary, `default` for those not in it.
    """
    outputs, parts = [], []
    _check_numbers(response, asked, default)
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
    head = "".join(_pieces(document)).encode()
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


def _request(document: Mapping[str, Any]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(id=document.get("id", ""))
    if max(len(document.get("inputs", [])), len(document.get("outputs", []))) > _MOST_TENSORS:
        raise InvalidRequestError(f"an inference request has at most {_MOST_TENSORS} inputs, and outputs")
    _put_params(request.parameters, document.get("parameters", {}))
    for tensor in document.get("inputs", []):
        made = request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        _put_params(made.parameters, tensor.get("parameters", {}))
    for output in document.get("outputs", []):
        wanted = request.outputs.add(name=output["name"])
        _put_params(wanted.parameters, output.get("parameters", {}))
    return request


def _put_params(target: Any, given: Mapping[str, Any]) -> None:
    if len(given) > _MOST_PARAMETERS:
        raise InvalidRequestError(f"there are {len(given)} parameters; the limit is {_MOST_PARAMETERS}")
    for name, value in given.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}.get(type(value))
        if kind is None:
            raise InvalidRequestError(f"parameter {shown(name)!r} must be a boolean, a number or a string")
        setattr(target[name], kind, value)


def _contents(tensor: Mapping[str, Any], binary: memoryview) -> tuple[bytes | memoryview, memoryview]:
    """Raw contents of an input, and what is left of the binary part."""
    params = tensor.get("parameters", {})
    if "binary_data_size" in params:
        size = params["binary_data_size"]
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise InvalidRequestError(
                f"input {shown(tensor['name'])!r} has {shown(size)!r} binary bytes; {len(binary)} are left"
            )
        return binary[:size], binary[size:]
    values = list(_flat(tensor["data"]))
    if tensor["datatype"] == "BYTES":
        return _bytes(values, params.get("content_type") == "base64"), binary
    dtype = _DTYPES.get(tensor["datatype"])
    # Of a type that no model takes the shape alone is looked at, and refused with a word on what is taken.
    return (np.array(values, dtype).tobytes() if dtype is not None else b""), binary


def _flat(data: Any, dimensions: int = _MOST_DIMENSIONS) -> Iterable[Any]:
    if not isinstance(data, list):
        yield data
        return
    if not dimensions:
        raise InvalidRequestError(f"data has at most {_MOST_DIMENSIONS} dimensions")
    for each in data:
        yield from _flat(each, dimensions - 1)


def _bytes(values: list[Any], is_base64: bool) -> bytes:
    texts = [value.encode() for value in values]
    if is_base64:
        try:
            texts = [base64.b64decode(text, validate=True) for text in texts]
        except binascii.Error as error:
            raise InvalidRequestError("an element is not base64") from error
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _check_numbers(response: pb.ModelInferResponse, asked: Mapping[str, bool], default: bool) -> None:
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.datatype == "BYTES" or asked.get(tensor.name, default):
            continue
        if len(raw) // _DTYPES[tensor.datatype].itemsize > _MOST_NUMBERS:
            raise InvalidRequestError(
                f"output {tensor.name} has more than {_MOST_NUMBERS} numbers: ask for it with binary_data"
            )


def _pieces(document: dict[str, Any]) -> Iterable[str]:
    """The document as JSON, with the data of its outputs written piece by piece."""
    outputs = document.pop("outputs")
    yield json.dumps(document)[:-1]
    yield ', "outputs": ['
    for number, output in enumerate(outputs):
        data = output.pop("data", None)
        yield (", " if number else "") + (json.dumps(output) if data is None else json.dumps(output)[:-1])
        if data is not None:
            yield ', "data": ['
            for start in range(0, len(data), _NUMBERS_AT_ONCE):
                yield (", " if start else "") + json.dumps(data[start : start + _NUMBERS_AT_ONCE])[1:-1]
            yield "]}"
    yield "]}"


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
