"""An ONNX graph with its constants as arrays, and runs of parts of it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.utils import Extractor

from trunkline.serving.session import OnnxSession

IMAGE = "image"
ACTIVATIONS = ("Clip", "Relu")


class Net:
    """A graph that is changed in place. `constants` holds its initializers; `model` puts them back."""

    def __init__(self, model: bytes) -> None:
        self._model = onnx.load_from_string(model)
        graph = self._model.graph
        self.nodes: list[Any] = list(graph.node)
        self.constants: dict[str, np.ndarray] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self.outputs: tuple[str, ...] = tuple(value.name for value in graph.output)

    def producer(self, tensor: str) -> Any | None:
        """The node that makes a tensor; None for inputs and constants."""
        return next((node for node in self.nodes if tensor in node.output), None)

    def consumers(self, tensor: str) -> list[Any]:
        """The nodes that take a tensor."""
        return [node for node in self.nodes if tensor in node.input]

    def convolutions(self) -> list[Any]:
        """The two-dimensional convolutions with constant weights, in the order in which they run."""
        return [
            node
            for node in self.nodes
            if node.op_type == "Conv" and node.input[1] in self.constants and self.weights(node).ndim == 4
        ]

    def weights(self, conv: Any) -> np.ndarray:
        """float32 (out, in / groups, height, width)."""
        return self.constants[conv.input[1]]

    def bias(self, conv: Any) -> np.ndarray:
        """float32 (out,); zeros where there is none."""
        if len(conv.input) > 2:
            return self.constants[conv.input[2]]
        return np.zeros(len(self.weights(conv)), np.float32)

    def set_weights(self, conv: Any, weights: np.ndarray, bias: np.ndarray) -> None:
        """Under names of their own, as several nodes may share a constant."""
        names = [f"{conv.output[0]}.weight", f"{conv.output[0]}.bias"]
        del conv.input[1:]
        conv.input.extend(names)
        self.constants |= {names[0]: weights.astype(np.float32), names[1]: bias.astype(np.float32)}

    def activation(self, conv: Any) -> Any | None:
        """The Clip from 0 or Relu that alone takes the output of a convolution."""
        takers = self.consumers(conv.output[0])
        if len(takers) != 1 or conv.output[0] in self.outputs or takers[0].op_type not in ACTIVATIONS:
            return None
        return takers[0] if takers[0].op_type == "Relu" or self.clip(takers[0])[0] == 0 else None

    def clip(self, node: Any) -> tuple[float, float]:
        """Bounds of a Clip or Relu; infinite where there is none."""
        bounds = [-np.inf if node.op_type == "Clip" else 0.0, np.inf]
        for place, name in enumerate(node.input[1:]):
            if name in self.constants:
                bounds[place] = float(self.constants[name].item())
        return bounds[0], bounds[1]

    def model(self) -> Any:
        """As a ModelProto that shares nothing with this net; constants that nobody takes are left out."""
        made = onnx.ModelProto()
        made.CopyFrom(self._model)
        del made.graph.node[:], made.graph.initializer[:], made.graph.value_info[:]
        made.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        made.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value, order="C"), name)
            for name, value in self.constants.items()
            if name in used
        )
        return made

    def copy(self) -> "Net":
        return Net(self.model().SerializeToString())


def attributes(node: Any) -> dict[str, Any]:
    """Attributes by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def groups_of(conv: Any) -> int:
    return int(attributes(conv).get("group", 1))


def tapped(model: Any, tensors: Iterable[str], start: str = IMAGE) -> OnnxSession:
    """A session that computes these tensors from `start`, and nothing that they do not need.

    All but the image are float32 (N, C, H, W).
    """
    wanted = list(dict.fromkeys(tensors))
    made = onnx.ModelProto()
    made.CopyFrom(model)
    known = {value.name for value in (*made.graph.output, *made.graph.input)}
    made.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", "c", "h", "w"])
        for name in (*wanted, start)
        if name not in known
    )
    part = Extractor(made).extract_model([start], wanted)
    return OnnxSession(part.SerializeToString(), "part of the backbone")


def cuts(net: Net) -> dict[int, str]:
    """Tensors through which all that follows goes, by the place in the order of nodes after which they are there."""
    last = {name: place for place, node in enumerate(net.nodes) for name in node.input}
    found, alive = {}, set()
    for place, node in enumerate(net.nodes):
        alive |= set(node.output)
        alive = {name for name in alive if last.get(name, -1) > place}
        if len(alive) == 1:
            found[place] = next(iter(alive))
    return found
