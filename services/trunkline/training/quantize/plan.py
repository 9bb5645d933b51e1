"""Which layers compute on integers, and the 8 bits of each tensor between them."""

from collections.abc import Sequence

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.training.quantize.equalize import equalize, find_streams
from trunkline.training.quantize.net import Net
from trunkline.training.quantize.qdq import Plan, find_pixels
from trunkline.training.quantize.ranges import Tick, scale_of, spreads

_FREE = (-np.inf, np.inf)


def planned(net: Net, pictures: Sequence[np.ndarray], float_layers: int, tick: Tick) -> Plan:
    """Scale channels to one range, in place, and find the range of each tensor.

    `tick` is called for each picture, twice where there is anything to scale. Raises InvalidRequestError where there
    is no layer to quantize.
    """
    streams = find_streams(net)
    if streams:
        equalize(net, streams, spreads(net, [name for group in streams for name in group], pictures, tick))
    layers = net.convolutions()[float_layers:]
    if not layers:
        raise InvalidRequestError("this backbone has no convolutions that could compute on integers")
    pixels = find_pixels(net) if float_layers == 0 else None
    bounds: dict[str, tuple[float, float]] = {}
    for conv in layers:
        activation = net.activation(conv)
        made = conv if activation is None else activation
        bounds[made.output[0]] = _FREE if activation is None else net.clip(activation)
        if pixels is None or conv.input[0] != pixels.tensor:
            maker = net.producer(conv.input[0])
            clipped = maker is not None and maker.op_type == "Clip"
            bounds.setdefault(conv.input[0], net.clip(maker) if clipped else _FREE)
    found = spreads(net, list(bounds), pictures, tick)
    scales = {name: scale_of(found[name], *ends) for name, ends in bounds.items()}
    return Plan(frozenset(conv.output[0] for conv in layers), scales, pixels)
