"""Layer by layer: weights fitted to what the exact layer answers, then rounded.

The inputs of the fit are those that the layers before give in 8 bits, so each layer makes good what it can of their
errors: the features are distilled in closed form, by least squares with the old weights as the prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trunkline.serving.session import OnnxSession
from trunkline.training.quantize.net import IMAGE, Net, attributes, cuts, groups_of, tapped
from trunkline.training.quantize.qdq import Plan, dequantized, quantized_model, unrounded
from trunkline.training.quantize.ranges import Tick
from trunkline.training.quantize.rounding import Rounded, damped, round_rows

_PRIOR = 0.02  # weight of the old weights, as a share of the mean variance of the inputs
_PLACES, _VALUES = 64, 2**25  # of each picture and layer, unless inputs are more values than that over all pictures
_KEPT_BYTES = 2**29  # of a tensor, over all pictures


@dataclass(frozen=True)
class _Seen:
    """inputs: float32 (n, C, kh * kw); outputs: float32 (n, O), of the same places."""

    inputs: np.ndarray
    outputs: np.ndarray


@dataclass
class _Front:
    """How far both nets have come: values of one tensor for all pictures, exact and as the layers before give it."""

    names: tuple[str, str]
    exact: Sequence[np.ndarray]
    rough: Sequence[np.ndarray]

    def advance(self, tensor: str, exact: Any, rough: Any, through: str) -> None:
        """To a later tensor, unless its values take too much memory. through: its name in the rough net."""
        first = tapped(exact, [tensor], self.names[0])
        values = [_value(first, self.names[0], self.exact[0], tensor)]
        if values[0].nbytes * len(self.exact) > _KEPT_BYTES:
            return
        values += [_value(first, self.names[0], value, tensor) for value in self.exact[1:]]
        second = tapped(rough, [through], self.names[1])
        self.rough = [_value(second, self.names[1], value, through) for value in self.rough]
        self.exact, self.names = values, (tensor, through)


def refine(net: Net, plan: Plan, pictures: Sequence[np.ndarray], tick: Tick) -> dict[str, Rounded]:
    """Rounded weights of every convolution of the plan, by its output. pictures: uint8 (1, H, W, 3).

    `tick` is called for each convolution.
    """
    found: dict[str, Rounded] = {}
    exact = net.model()
    ends = {place: name for place, name in cuts(net).items() if name in plan.scales}
    front = _Front((IMAGE, IMAGE), pictures, pictures)
    places = {id(node): place for place, node in enumerate(net.nodes)}
    for conv in net.convolutions():
        if conv.output[0] not in plan.layers:
            continue
        so_far = quantized_model(net, plan, found)
        end = max((place for place in ends if place < places[id(conv)]), default=None)
        if end is not None and ends[end] != front.names[0]:
            front.advance(ends[end], exact, so_far, _before_8_bits(ends[end], so_far))
        taken = dequantized(conv.input[0])
        seen = _seen(conv, tapped(so_far, [taken], front.names[1]), tapped(exact, conv.output, front.names[0]), front)
        found[conv.output[0]] = _fitted(net, conv, seen)
        tick()
    return found


def _before_8_bits(tensor: str, model: Any) -> str:
    """The name in the rough net of what becomes 8 bits later, where it still has to."""
    exact = unrounded(tensor)
    return exact if any(exact in node.output for node in model.graph.node) else tensor


def _value(session: OnnxSession, given: str, value: np.ndarray, wanted: str) -> np.ndarray:
    return session.run({given: value}, [wanted])[wanted]


def _seen(conv: Any, rough: OnnxSession, exact: OnnxSession, front: _Front) -> _Seen:
    random = np.random.default_rng(0)
    inputs, outputs = [], []
    for one, other in zip(front.exact, front.rough, strict=True):
        given = _value(rough, front.names[1], other, dequantized(conv.input[0]))
        wanted = _value(exact, front.names[0], one, conv.output[0])[0]  # (O, h, w)
        most = min(_PLACES, wanted[0].size, max(1, _VALUES // (len(front.exact) * _kernel_size(conv, given))))
        places = random.choice(wanted[0].size, most, replace=False)
        rows, columns = np.unravel_index(places, wanted.shape[1:])
        inputs.append(_patches(given[0], conv, rows, columns))
        outputs.append(wanted[:, rows, columns].T)
    return _Seen(np.concatenate(inputs), np.concatenate(outputs))


def _kernel_size(conv: Any, given: np.ndarray) -> int:
    """Values that a kernel sees over all channels of its input (1, C, H, W)."""
    return int(given.shape[1] * np.prod(attributes(conv)["kernel_shape"]))


def _patches(given: np.ndarray, conv: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What the kernel sees at these places of the output: (C, H, W) -> (n, C, kh * kw)."""
    found = attributes(conv)
    height, width = found["kernel_shape"]
    stride, dilation = found.get("strides", [1, 1]), found.get("dilations", [1, 1])
    top, left, bottom, right = found.get("pads", [0, 0, 0, 0])
    padded = np.pad(given, ((0, 0), (top, bottom), (left, right)))
    parts = [
        padded[:, rows * stride[0] + y * dilation[0], columns * stride[1] + x * dilation[1]].T
        for y in range(height)
        for x in range(width)
    ]
    return np.stack(parts, axis=2)


def _fitted(net: Net, conv: Any, seen: _Seen) -> Rounded:
    weights, groups = net.weights(conv), groups_of(conv)
    inner = weights[0].size
    rows = weights.reshape(groups, -1, inner).astype(np.float64)  # (g, o, k)
    count = len(seen.inputs)
    inputs = seen.inputs.reshape(count, groups, inner).transpose(1, 0, 2).astype(np.float64)  # (g, n, k)
    outputs = seen.outputs.reshape(count, groups, -1).transpose(1, 0, 2).astype(np.float64)  # (g, n, o)
    input_mean, output_mean = inputs.mean(axis=1, keepdims=True), outputs.mean(axis=1, keepdims=True)
    inputs, outputs = inputs - input_mean, outputs - output_mean
    second = inputs.transpose(0, 2, 1) @ inputs / count  # (g, k, k)
    left = outputs - inputs @ rows.transpose(0, 2, 1)
    change = np.linalg.solve(damped(second, _PRIOR), inputs.transpose(0, 2, 1) @ left / count)  # (g, k, o)
    numbers, steps = round_rows(rows + change.transpose(0, 2, 1), second)
    values = numbers * steps[..., None]
    bias = output_mean[:, 0] - (values @ input_mean.transpose(0, 2, 1))[..., 0]  # (g, o)
    return Rounded(numbers.reshape(weights.shape), steps.ravel().astype(np.float32), bias.ravel().astype(np.float32))
