"""Torch modules to ONNX files: one file, named dynamic axes, nothing of the machine that made it."""

import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from google.protobuf.message import Message
from torch import Tensor, nn
from torch.export import Dim

from trunkline.core.bundle import FeatureSpec
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import STRIDE
from trunkline.training.export.classifier import Classifier
from trunkline.training.export.network import PROBE_HEIGHT, PROBE_WIDTH, FeatureNet, first_line

OPSET = 20
_BATCH = 2  # with an example of 1 the exporter would take the batch for a constant
_LARGEST_SIDE = 4096
_PRIVATE = ("doc_string", "metadata_props")  # the exporter puts stack traces with local paths there


def backbone_graph(net: FeatureNet, features: Sequence[FeatureSpec]) -> bytes:
    """ONNX file with input image uint8 (batch, height, width, 3) and the features as outputs.

    Raises InvalidRequestError where torch cannot export the network.
    """
    units = [Dim(axis, min=1, max=_LARGEST_SIDE // STRIDE) for axis in ("_height", "_width")]
    axes = {0: Dim("batch"), 1: STRIDE * units[0], 2: STRIDE * units[1]}
    example = torch.zeros(_BATCH, PROBE_HEIGHT, PROBE_WIDTH, 3, dtype=torch.uint8)
    model = _export(net, "image", example, axes, [feature.name for feature in features])
    _name_axes(model.graph.input[0], ["batch", "height", "width", None])
    for value, feature in zip(model.graph.output, features, strict=True):
        spatial = [f"height/{feature.stride}", f"width/{feature.stride}"] if feature.stride else []
        _name_axes(value, ["batch", None, *spatial])
    return finished_file(model)


def classifier_graph(classifier: Classifier, channels: int) -> bytes:
    """ONNX file with input pooled float32 (batch, channels) and output logits float32 (batch, classes)."""
    model = _export(classifier, "pooled", torch.zeros(_BATCH, channels), {0: Dim("batch")}, ["logits"])
    _name_axes(model.graph.output[0], ["batch", None])
    return finished_file(model)


def _export(net: nn.Module, name: str, example: Tensor, axes: dict[int, Any], outputs: Sequence[str]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own parts, nothing that a caller could change
        try:
            program = torch.onnx.export(
                net,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes={name: axes},
                input_names=[name],
                output_names=list(outputs),
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter wraps whatever a network raises
            raise InvalidRequestError(f"torch cannot export this network: {first_line(error)}") from error
    if program is None:
        raise InvalidRequestError("torch exported nothing: the installed torch lacks the dynamo exporter")
    return program.model_proto


def _name_axes(value: Any, names: Sequence[str | None]) -> None:
    for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
        if name is not None:
            axis.dim_param = name


def finished_file(model: Any) -> bytes:
    """The model as bytes: checked, and without what the exporter tells of this machine."""
    stripped(model)
    del model.graph.value_info[:]  # shapes of inner values, in the exporter's own symbols; runtimes infer them
    model.producer_version = torch.__version__.partition("+")[0]
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def stripped(message: Message) -> None:
    """Clear, in place, what a file tells of where it was made: notes, stack traces, paths."""
    for field, value in message.ListFields():
        if field.name in _PRIVATE:
            message.ClearField(field.name)
        elif isinstance(value, Message):
            stripped(value)
        elif field.message_type is not None:
            for item in value:
                stripped(item)
