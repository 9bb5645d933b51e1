"""The last stages of a backbone as a torch net, made from the backbone's own ONNX file.

So a tail starts from exactly what is served, whatever library the backbone came from. Batch norms are part of the
convolutions in that file: their statistics are frozen.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.utils import Extractor
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError


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

    def forward(self, feature: Tensor) -> list[Tensor]:
        known = {self._start: feature}
        for step in self.steps:
            assert isinstance(step, _Step)
            known[step.output] = step(*(known[name] for name in step.inputs))
        return [known[name] for name in self._outputs]


class _Step(nn.Module):
    """One operation of the graph with its weights."""

    def __init__(self, node: Any, constants: dict[str, np.ndarray], module: nn.Module) -> None:
        super().__init__()
        self.inputs = tuple(name for name in node.input if name and name not in constants)
        self.output = str(node.output[0])
        self.module = module

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


def _plain(function: Callable[..., Tensor]) -> Callable[[dict[str, Any], list[np.ndarray]], nn.Module]:
    return lambda attributes, weights: _Function(function)


_OPERATIONS: dict[str, Callable[[dict[str, Any], list[np.ndarray]], nn.Module]] = {
    "Add": _plain(torch.add),
    "Clip": _clip,
    "Conv": _convolution,
    "Flatten": _plain(lambda x: x.flatten(1)),
    "Gemm": _linear,
    "GlobalAveragePool": _plain(lambda x: x.mean(dim=(2, 3), keepdim=True)),
    "HardSwish": _plain(nn.functional.hardswish),
    "Identity": _plain(lambda x: x),
    "Mul": _plain(torch.mul),
    "ReduceMean": _mean,
    "Relu": _plain(torch.relu),
    "Reshape": _plain(lambda x, *_: x.flatten(1)),
    "Sigmoid": _plain(torch.sigmoid),
}
