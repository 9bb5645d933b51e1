"""Channels scaled to one range, where that changes no answer: 8 bits for a tensor then serve all its channels.

Cross-layer equalisation (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019),
by measured ranges, and over whole residual streams: what an Add joins is scaled alike, features are scaled back.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx

from trunkline.training.quantize.net import Net, groups_of
from trunkline.training.quantize.ranges import Spread

_MOST = 16.0  # how far a channel is scaled at most: weights pay for it


Stream: TypeAlias = tuple[str, ...]


def find_streams(net: Net) -> list[Stream]:
    """Groups of tensors between convolutions that can be scaled alike, as all their makers and takers can be."""
    return [group for group in _joined(net) if _scalable(net, group)]


def equalize(net: Net, streams: Sequence[Stream], spreads: Mapping[str, Spread]) -> None:
    """Scale the channels of the streams, in place."""
    for group in streams:
        highest = np.max([spreads[name].channel_max for name in group], axis=0)
        _scale_group(net, group, _limited(highest / _middle(highest)))


def _joined(net: Net) -> list[Stream]:
    """Outputs of convolutions and additions, in groups that additions join."""
    root: dict[str, str] = {conv.output[0]: conv.output[0] for conv in net.convolutions()}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for node in net.nodes:
        if node.op_type == "Add":
            for name in node.input:
                root[find(name)] = find(node.output[0])
    groups: dict[str, list[str]] = {}
    for name in root:
        groups.setdefault(find(name), []).append(name)
    return [tuple(group) for group in groups.values()]


def _scalable(net: Net, group: Stream) -> bool:
    convolutions = {conv.output[0] for conv in net.convolutions()}
    for name in group:
        maker = net.producer(name)
        if maker is None or not (maker.op_type == "Add" or name in convolutions):
            return False
        if any(not (taker.op_type == "Add" or _takes(net, taker)) for taker in net.consumers(name)):
            return False
    return True


def _takes(net: Net, node: Any) -> bool:
    """Whether this is a convolution whose input channels can be scaled: a plain or a depthwise one."""
    if not any(node is conv for conv in net.convolutions()):
        return False
    weights = net.weights(node)
    return groups_of(node) == 1 or (weights.shape[1] == 1 and len(weights) == groups_of(node))


def _middle(values: np.ndarray) -> float:
    """Geometric mean of what is not zero."""
    found = values[values > 0]
    return float(np.exp(np.log(found).mean())) if len(found) else 1.0


def _limited(factors: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(factors > 0, np.clip(factors, 1 / _MOST, _MOST), 1.0).astype(np.float32)
    return found


def _scale_group(net: Net, group: Stream, factors: np.ndarray) -> None:
    makers = [net.producer(name) for name in group]
    for maker in makers:
        if maker is not None and maker.op_type == "Conv":
            _scale_made(net, maker, factors)
    for name in group:
        for taker in net.consumers(name):
            if taker.op_type == "Conv":
                _scale_taken(net, taker, factors)
    for name in group:
        if name in net.outputs:
            _scale_back(net, name, factors)


def _scale_made(net: Net, conv: Any, factors: np.ndarray) -> None:
    net.set_weights(conv, net.weights(conv) / factors[:, None, None, None], net.bias(conv) / factors)


def _scale_taken(net: Net, conv: Any, factors: np.ndarray) -> None:
    shape = (-1, 1, 1, 1) if groups_of(conv) > 1 else (1, -1, 1, 1)
    net.set_weights(conv, net.weights(conv) * factors.reshape(shape), net.bias(conv))


def _scale_back(net: Net, output: str, factors: np.ndarray) -> None:
    inner, factor = f"{output}.scaled", f"{output}.factors"
    for node in net.nodes:
        _rename(node.input, output, inner)
        _rename(node.output, output, inner)
    net.constants[factor] = factors[None, :, None, None]
    place = max(place for place, node in enumerate(net.nodes) if inner in node.output)
    net.nodes.insert(place + 1, onnx.helper.make_node("Mul", [inner, factor], [output], name=f"{output}.unscale"))


def _rename(names: Any, old: str, new: str) -> None:
    for place, name in enumerate(names):
        if name == old:
            names[place] = new
