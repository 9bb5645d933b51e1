"""The last stages of a backbone as a torch net, made from the backbone's own ONNX file.

So a tail starts from exactly what is served, whatever library the backbone came from. Batch norms are part of the
convolutions in that file: their statistics are frozen.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.utils import Extractor
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError

_CONSTANT_FIRST = "constant_first"


class Tail(nn.Module):
    """From one feature of a backbone to later ones: float32 (N, C, H, W) -> the tensors named in `outputs`."""

    def __init__(self, backbone: bytes, start: str, outputs: Sequence[str]) -> None:
        """Raises InvalidRequestError where the features do not follow on `start`, or an operation is not known."""
        super().__init__()
        graph = _cut(backbone, start, outputs)
        constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self._start, self._outputs = start, tuple(outputs)
        self.steps = nn.ModuleList(_step(node, constants) for node in graph.node)

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, feature: Tensor, wanted: Collection[str] | None = None) -> list[Tensor]:
        """wanted: those of the outputs that are computed, in the order of `outputs`; None for all."""
        outputs = [name for name in self._outputs if wanted is None or name in wanted]
        known, needed = {self._start: feature}, self._needed(outputs)
        for step in self._steps():
            if step.output in needed:
                known[step.output] = step(*(known[name] for name in step.inputs))
        return [known[name] for name in outputs]

    def put_into(self, backbone: bytes) -> bytes:
        """The ONNX file of a backbone, such as the one that this was made of, with the weights of this tail.

        Raises InvalidRequestError where a weight is used twice, or is not float32.
        """
        model = onnx.load_from_string(backbone)
        files = {item.name: item for item in model.graph.initializer}
        done: set[str] = set()
        for step in self._steps():
            for name, value in step.weights().items():
                if name in done or files[name].data_type != onnx.TensorProto.FLOAT:
                    raise InvalidRequestError(f"weight {name} of this backbone cannot be trained: begin later")
                done.add(name)
                files[name].CopyFrom(numpy_helper.from_array(value, name))
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def _steps(self) -> list["_Step"]:
        return [step for step in self.steps if isinstance(step, _Step)]

    def _needed(self, outputs: Collection[str]) -> set[str]:
        needed = set(outputs)
        for step in reversed(self._steps()):
            if step.output in needed:
                needed.update(step.inputs)
        return needed


class _Step(nn.Module):
    """One operation of the graph with its weights."""

    def __init__(self, node: Any, constants: dict[str, np.ndarray], module: nn.Module) -> None:
        super().__init__()
        self.inputs = tuple(name for name in node.input if name and name not in constants)
        self.output = str(node.output[0])
        self.module = module
        self._constants = tuple(name for name in node.input if name in constants)
        self._turned = node.op_type == "Gemm" and not any(item.name == "transB" and item.i for item in node.attribute)

    def weights(self) -> dict[str, np.ndarray]:
        """By their names in the file, as the file has them; {} where nothing is learned."""
        values = [parameter.detach().contiguous().numpy() for parameter in self.module.parameters()]
        if not values:
            return {}
        if self._turned:
            values[0] = np.ascontiguousarray(values[0].T)
        return dict(zip(self._constants, values, strict=True))

    def forward(self, *values: Tensor) -> Tensor:
        found: Tensor = self.module(*values)
        return found


class _Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *values: Tensor) -> Tensor:
        return self._function(*values)


def _cut(backbone: bytes, start: str, outputs: Sequence[str]) -> Any:
    model = onnx.load_from_string(backbone)
    graph = Extractor(model).extract_model([start], list(outputs)).graph
    known = {
        start,
        *(item.name for item in graph.initializer),
        *(name for node in graph.node for name in node.output),
    }
    if not {name for node in graph.node for name in node.input if name} <= known:
        raise InvalidRequestError(f"{', '.join(outputs)} cannot be computed from {start} alone")
    return graph


def _step(node: Any, constants: dict[str, np.ndarray]) -> _Step:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    attributes[_CONSTANT_FIRST] = bool(node.input) and node.input[0] in constants
    weights = [constants[name] for name in node.input if name in constants]
    build = _OPERATIONS.get(node.op_type)
    if build is None:
        raise InvalidRequestError(
            f"the tail of this backbone has the operation {node.op_type}, which cannot be fine-tuned: "
            f"choose a later feature with --tail, or mode transfer; known: {', '.join(sorted(_OPERATIONS))}"
        )
    return _Step(node, constants, build(attributes, weights))


def _convolution(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
    kernel = weights[0]  # (out, in / groups, height, width)
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    groups = int(attributes.get("group", 1))
    made = nn.Conv2d(
        kernel.shape[1] * groups,
        kernel.shape[0],
        tuple(kernel.shape[2:]),
        stride=tuple(attributes.get("strides", [1, 1])),
        padding=(top, left) if (top, left) == (bottom, right) else 0,
        dilation=tuple(attributes.get("dilations", [1, 1])),
        groups=groups,
        bias=len(weights) > 1,
    )
    made.weight.data = torch.from_numpy(kernel.copy())
    if made.bias is not None:
        made.bias.data = torch.from_numpy(weights[1].copy())
    if (top, left) == (bottom, right):
        return made
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), made)


def _linear(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
    kernel = weights[0] if attributes.get("transB", 0) else weights[0].T  # (out, in)
    made = nn.Linear(kernel.shape[1], kernel.shape[0])
    made.weight.data, made.bias.data = torch.from_numpy(kernel.copy()), torch.from_numpy(weights[1].copy())
    return made


def _clip(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
    low, high = (float(value) for value in weights)
    return _Function(lambda x: torch.clamp(x, low, high))


def _mean(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
    axes = weights[0] if weights else attributes.get("axes", [2, 3])
    dims = tuple(int(axis) for axis in axes)
    keep = bool(attributes.get("keepdims", 1))
    return _Function(lambda x: x.mean(dim=dims, keepdim=keep))


def _binary(function: Callable[..., Tensor]) -> Callable[[dict[str, Any], list[np.ndarray]], nn.Module]:
    """Of two tensors, or of a tensor and a constant of the file."""

    def build(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
        if not weights:
            return _Function(function)
        constant = torch.from_numpy(weights[0].astype(np.float32))
        if attributes[_CONSTANT_FIRST]:
            return _Function(lambda x: function(constant, x))
        return _Function(lambda x: function(x, constant))

    return build


def _transpose(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
    order = tuple(int(axis) for axis in attributes["perm"])
    return _Function(lambda x: x.permute(order))


def _concat(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
    axis = int(attributes["axis"])
    return _Function(lambda *values: torch.cat(values, dim=axis))


def _pooling(kind: type[nn.MaxPool2d] | type[nn.AvgPool2d]) -> Callable[..., nn.Module]:
    def build(attributes: dict[str, Any], weights: list[np.ndarray]) -> nn.Module:
        top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
        if (top, left) != (bottom, right) or attributes.get("ceil_mode", 0):
            raise InvalidRequestError("a pooling of this model is padded on one side alone")
        size = tuple(attributes["kernel_shape"])
        return kind(size, stride=tuple(attributes.get("strides", [1, 1])), padding=(top, left))

    return build


def _plain(function: Callable[..., Tensor]) -> Callable[[dict[str, Any], list[np.ndarray]], nn.Module]:
    return lambda attributes, weights: _Function(function)


_OPERATIONS: dict[str, Callable[[dict[str, Any], list[np.ndarray]], nn.Module]] = {
    "Add": _binary(torch.add),
    "AveragePool": _pooling(nn.AvgPool2d),
    "Cast": _plain(lambda x: x.to(torch.float32)),
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _convolution,
    "Div": _binary(torch.div),
    "Flatten": _plain(lambda x: x.flatten(1)),
    "Gemm": _linear,
    "GlobalAveragePool": _plain(lambda x: x.mean(dim=(2, 3), keepdim=True)),
    "HardSwish": _plain(nn.functional.hardswish),
    "Identity": _plain(lambda x: x),
    "MaxPool": _pooling(nn.MaxPool2d),
    "Mul": _binary(torch.mul),
    "ReduceMean": _mean,
    "Relu": _plain(torch.relu),
    "Reshape": _plain(lambda x, *_: x.flatten(1)),
    "Sigmoid": _plain(torch.sigmoid),
    "Sub": _binary(torch.sub),
    "Transpose": _transpose,
}
