"""Replaces modules by others that compute the same but export better."""

from torch import nn

from trunkline.training.export.padding import statically_padded
from trunkline.training.export.pooling import as_mean


def rewritten(net: nn.Module) -> nn.Module:
    """Replace, in place, what has a better form in ONNX. Returns `net`; the answers stay the same."""
    for name, child in net.named_children():
        replacement = statically_padded(child) or as_mean(child)
        if replacement is None:
            rewritten(child)
        else:
            setattr(net, name, replacement)
    return net
