"""The graph with QuantizeLinear and DequantizeLinear, as ONNX Runtime joins them to operations on integers.

Written here, not by onnxruntime.quantization: that rounds each weight to the nearest by itself, and its numbers could
not be those that were fitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from trunkline.training.quantize.net import IMAGE, Net
from trunkline.training.quantize.ranges import Scale
from trunkline.training.quantize.rounding import Rounded

_INT32 = (-(2**31), 2**31 - 1)
_PIXEL_STEPS = ("Transpose", "Cast", "Sub", "Div")


@dataclass(frozen=True)
class Pixels:
    """The graph's way from the image to its first convolution, where 8 bits hold it exactly.

    tensor: what the convolution takes, (pixel - zero) * step.
    """

    tensor: str
    transposed: str
    scale: Scale


@dataclass(frozen=True)
class Plan:
    """layers: outputs of the convolutions on integers. scales: of tensors in 8 bits, by name.

    Additions stay in float32: they cost little, and what 8 bits lose would add up along a residual stream.
    """

    layers: frozenset[str]
    scales: Mapping[str, Scale]
    pixels: Pixels | None = None


def find_pixels(net: Net) -> Pixels | None:
    """Raw pixels are 8 bits already: nothing is lost where one mean and deviation hold for all colours."""
    names, tensor = [], IMAGE
    for wanted in _PIXEL_STEPS:
        takers = net.consumers(tensor)
        if len(takers) != 1 or takers[0].op_type != wanted:
            return None
        tensor = takers[0].output[0]
        names.append(takers[0])
    mean, deviation = (net.constants.get(node.input[1]) for node in names[2:])
    if mean is None or deviation is None or np.ptp(mean) or np.ptp(deviation):
        return None
    return Pixels(tensor, names[0].output[0], Scale(1 / float(deviation.flat[0]), round(float(mean.flat[0]))))


def dequantized(tensor: str) -> str:
    """The name of a tensor after its way through 8 bits."""
    return f"{tensor}.dequantized"


def unrounded(tensor: str) -> str:
    """The name of a feature before its way through 8 bits, where callers get what is behind it."""
    return f"{tensor}.exact"


def quantized_model(net: Net, plan: Plan, rounded: Mapping[str, Rounded]) -> Any:
    """A ModelProto in which the convolutions of `rounded` compute on integers; the others see what these give."""
    return _Builder(net.copy(), plan, rounded).built()


@dataclass
class _Builder:
    net: Net
    plan: Plan
    rounded: Mapping[str, Rounded]
    _nodes: list[Any] = field(default_factory=list)

    def built(self) -> Any:
        if self.plan.pixels is not None:
            self._take_pixels(self.plan.pixels)
        skipped: set[str] = set()
        for node in list(self.net.nodes):
            if node.output[0] in skipped:
                continue
            if node.op_type == "Conv" and node.output[0] in self.rounded:
                skipped |= self._convolution(node)
                continue
            self._nodes.append(node)
            if node.output[0] in self.plan.scales:
                self._through_8_bits(node.output[0], everybody=False)
        self.net.nodes[:] = self._nodes
        return self.net.model()

    def _take_pixels(self, pixels: Pixels) -> None:
        """Transpose, then DequantizeLinear: the pixels are the numbers."""
        transpose = next(node for node in self.net.nodes if node.output[0] == pixels.transposed)
        conv = self.net.consumers(pixels.tensor)
        del self.net.nodes[: self.net.nodes.index(transpose) + len(_PIXEL_STEPS)]
        self._nodes.append(transpose)
        self._dequantize(pixels.transposed, dequantized(pixels.tensor), pixels.scale, pixels.tensor)
        for node in conv:
            node.input[0] = dequantized(pixels.tensor)

    def _convolution(self, conv: Any) -> set[str]:
        """Returns what nodes have become part of it."""
        output, weights = conv.output[0], self.rounded[conv.output[0]]
        activation = self.net.activation(conv)
        source = self._scale_before(conv)
        steps = weights.steps.astype(np.float64) * source.step
        self._constant(f"{output}.numbers", weights.numbers)
        self._constant(f"{output}.steps", weights.steps.astype(np.float32))
        self._constant(f"{output}.bias_numbers", np.clip(np.rint(weights.bias / steps), *_INT32).astype(np.int32))
        self._constant(f"{output}.bias_steps", steps.astype(np.float32))
        for kind in ("", "bias_"):
            inputs = [f"{output}.{kind}numbers", f"{output}.{kind}steps"]
            self._add("DequantizeLinear", inputs, f"{output}.{kind}values")
            self._nodes[-1].attribute.append(onnx.helper.make_attribute("axis", 0))
        del conv.input[1:]
        conv.input.extend([f"{output}.values", f"{output}.bias_values"])
        self._nodes.append(conv)
        if activation is None:
            self._through_8_bits(output, everybody=True)
            return set()
        conv.output[0] = activation.output[0]  # the ends of the 8 bits are those of the activation
        self._through_8_bits(activation.output[0], everybody=True)
        return {str(activation.output[0])}

    def _scale_before(self, conv: Any) -> Scale:
        pixels = self.plan.pixels
        if pixels is not None and conv.input[0] == dequantized(pixels.tensor):
            return pixels.scale
        return self.plan.scales[conv.input[0].removesuffix(dequantized(""))]

    def _through_8_bits(self, tensor: str, *, everybody: bool) -> None:
        """everybody: all takers, and outputs, get what 8 bits hold; otherwise only convolutions do."""
        scale = self.plan.scales[tensor]
        made = dequantized(tensor)
        takers = [each for each in self.net.consumers(tensor) if everybody or each.output[0] in self.plan.layers]
        for taker in takers:
            for place, name in enumerate(taker.input):
                if name == tensor:
                    taker.input[place] = made
        source = tensor
        if everybody and tensor in self.net.outputs:
            source = unrounded(tensor)
            self._nodes[-1].output[0] = source
        self._scale_constants(tensor, scale)
        self._add("QuantizeLinear", [source, f"{tensor}.step", f"{tensor}.zero"], f"{tensor}.number")
        self._add("DequantizeLinear", [f"{tensor}.number", f"{tensor}.step", f"{tensor}.zero"], made)
        if source != tensor:
            self._add("DequantizeLinear", [f"{tensor}.number", f"{tensor}.step", f"{tensor}.zero"], tensor)

    def _dequantize(self, numbers: str, output: str, scale: Scale, name: str) -> None:
        self._scale_constants(name, scale)
        self._add("DequantizeLinear", [numbers, f"{name}.step", f"{name}.zero"], output)

    def _scale_constants(self, name: str, scale: Scale) -> None:
        self._constant(f"{name}.step", np.float32(scale.step))
        self._constant(f"{name}.zero", np.uint8(scale.zero))

    def _constant(self, name: str, value: Any) -> None:
        self.net.constants[name] = np.asarray(value)

    def _add(self, operation: str, inputs: list[str], output: str) -> None:
        self._nodes.append(onnx.helper.make_node(operation, inputs, [output], name=output))
