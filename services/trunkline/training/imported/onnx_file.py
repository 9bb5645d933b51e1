"""An ONNX file that came from outside: read without running anything of it, and refused with one line."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto

from trunkline.core.bundle import LARGEST_MODEL
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.files import read_regular
from trunkline.core.text import shown

_OLDEST_OPSET = 11  # the first in which Slice and the like are what the wrapping writes
_MOST_NODES = 20_000  # the largest detectors have about a thousand


def read_onnx(file: Path) -> Any:
    """The model of a file. Raises InvalidRequestError where it cannot be read, else ModelInvalidError."""
    try:
        data = read_regular(file, LARGEST_MODEL)
    except OSError as error:
        raise InvalidRequestError(f"{file} cannot be read: {error.strerror}") from error
    if not data:
        raise ModelInvalidError(f"{file} is empty")
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelInvalidError(f"{file} is not an ONNX file: export the model to ONNX") from error
    _check(model, file)
    return model


def _check(model: Any, file: Path) -> None:
    if not model.graph.node or not model.graph.output:
        raise ModelInvalidError(f"{file} is not an ONNX file: export the model to ONNX")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise ModelInvalidError(
            f"{file} keeps its weights in a second file: export it as one file (no external data)"
        )
    nodes = sum(1 for _ in _nodes(model.graph))
    if nodes > _MOST_NODES:
        raise ModelInvalidError(f"{file} has {nodes} operations; a detector may have at most {_MOST_NODES}")
    if model.functions:
        raise ModelInvalidError(f"{file} has functions of its own: export it with plain operations")
    domains = sorted({each.domain for each in model.opset_import} - {"", "ai.onnx"})
    if domains:
        raise ModelInvalidError(
            f"{file} uses operations of {shown(domains[0])!r}, which ONNX Runtime may not support"
        )
    opset = max((each.version for each in model.opset_import), default=0)
    if opset < _OLDEST_OPSET:
        raise ModelInvalidError(f"{file} has opset {opset}: export it again with opset {_OLDEST_OPSET} or later")


def inputs_of(model: Any) -> list[Any]:
    """Inputs of the graph that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def shape_of(value: Any) -> tuple[int | None, ...]:
    """None for a dimension that is free."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in value.type.tensor_type.shape.dim
    )


def is_float32(value: Any) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def has_halves(model: Any) -> bool:
    """Whether weights are float16."""
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)


def properties(model: Any) -> dict[str, str]:
    """What the exporter wrote beside the graph."""
    return {item.key: item.value for item in model.metadata_props}


def with_input_shape(model: Any, shape: tuple[int, ...]) -> Any:
    """A copy of the model for one shape of its one input; shapes that followed from another are forgotten."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    value = inputs_of(fixed)[0]
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    del fixed.graph.value_info[:]
    return fixed


def with_output_shapes(model: Any, shapes: Mapping[str, Sequence[int | str]]) -> Any:
    """A copy of the model whose outputs have these shapes; an axis with a name is free."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
        for size in shapes[value.name]:
            axis = value.type.tensor_type.shape.dim.add()
            if isinstance(size, str):
                axis.dim_param = size
            else:
                axis.dim_value = size
    return fixed


def _nodes(graph: Any) -> Iterator[Any]:
    """Those of the graph, and those of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(inner)


def _tensors(message: Message) -> Iterator[Any]:
    """Those of the graph, and those within the graphs and attributes of its nodes."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in [value] if isinstance(value, Message) else value:
            if isinstance(item, TensorProto):
                yield item
            else:
                yield from _tensors(item)
