"""What is read of an ONNX file without the package onnx, which serving does not need."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from trunkline.core.errors import ModelInvalidError

_PACKAGE = "trunkline.onnx_file"
_FLOAT32 = 1
# Of onnx.proto, the fields that are looked at: (message, field, number, type); what is not here passes unread.
_FIELDS = (
    ("Value", "name", 1, "text"),
    ("Node", "input", 1, "text"),
    ("Node", "output", 2, "text"),
    ("Node", "op_type", 4, "text"),
    ("Tensor", "dims", 1, "number"),
    ("Tensor", "data_type", 2, "number"),
    ("Tensor", "name", 8, "text"),
    ("Tensor", "raw_data", 9, "bytes"),
    ("Graph", "node", 1, "Node"),
    ("Graph", "initializer", 5, "Tensor"),
    ("Graph", "output", 12, "Value"),
    ("Model", "graph", 7, "Graph"),
)
_ONE_EACH = frozenset({"name", "op_type", "graph", "data_type", "raw_data"})


def parse_model(model: bytes) -> Any:
    """A ModelProto with some of its fields; what it does not know it keeps. Raises ModelInvalidError."""
    try:
        return _model_class().FromString(model)
    except Exception as error:  # the library's own class is not public
        raise ModelInvalidError("the file is no ONNX model") from error


def first_filters(model: bytes) -> np.ndarray:
    """float32 (O, I, h, w): the weights of the first convolution. Raises ModelInvalidError where it has none."""
    graph = parse_model(model).graph
    weights = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 1 and node.input[1] in weights:
            return _array(weights[node.input[1]])
    raise ModelInvalidError("the model has no convolution with weights of its own")


def _array(tensor: Any) -> np.ndarray:
    if tensor.data_type != _FLOAT32 or not tensor.raw_data:
        raise ModelInvalidError(f"the weights {tensor.name!r} are no float32 numbers")
    return np.frombuffer(tensor.raw_data, "<f4").reshape(tuple(tensor.dims))


@cache
def _model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="trunkline_onnx_file.proto", package=_PACKAGE)
    for name in dict.fromkeys(row[0] for row in _FIELDS):
        file.message_type.add(name=name).field.extend(_fields_of(name))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))


def _fields_of(message: str) -> Iterator[descriptor_pb2.FieldDescriptorProto]:
    kinds = descriptor_pb2.FieldDescriptorProto
    types = {"text": kinds.TYPE_STRING, "number": kinds.TYPE_INT64, "bytes": kinds.TYPE_BYTES}
    for of, name, number, kind in _FIELDS:
        if of == message:
            yield kinds(
                name=name,
                number=number,
                label=kinds.LABEL_OPTIONAL if name in _ONE_EACH else kinds.LABEL_REPEATED,
                type=types.get(kind, kinds.TYPE_MESSAGE),
                type_name=None if kind in types else f".{_PACKAGE}.{kind}",
            )
