"""TensorFlow's 'same' padding with constant numbers.

timm computes it from the size of the picture at each call, which makes an ONNX graph large, slow to export
and slow to run. With sizes that are multiples of every stride it depends on kernel and stride alone.
"""

import math
from collections.abc import Sequence
from typing import Any

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
from timm.layers.std_conv import ScaledStdConv2dSame, StdConv2dSame
from torch import Tensor, nn
from torch.nn import functional


class StaticallyPadded(nn.Module):
    """Pads by constant amounts (left, right, top, bottom), then calls a module that does not pad."""

    def __init__(self, inner: nn.Module, amounts: Sequence[int], value: float) -> None:
        super().__init__()
        self.inner = inner
        self.amounts = list(amounts)
        self.value = value

    def forward(self, values: Tensor) -> Any:
        return self.inner(functional.pad(values, self.amounts, value=self.value))


def statically_padded(module: nn.Module) -> nn.Module | None:
    """A replacement for a module of timm that pads by the size of its input, None for any other module."""
    if isinstance(module, Conv2dSame):
        return _convolution(module)
    if isinstance(module, MaxPool2dSame):
        inner: nn.Module = nn.MaxPool2d(module.kernel_size, module.stride, 0, module.dilation)
        return StaticallyPadded(inner, _amounts(module), -math.inf)
    if isinstance(module, AvgPool2dSame):
        inner = nn.AvgPool2d(module.kernel_size, module.stride, 0, False, module.count_include_pad)
        return StaticallyPadded(inner, _amounts(module), 0.0)
    if isinstance(module, StdConv2dSame | ScaledStdConv2dSame) and module.same_pad:
        module.same_pad = False
        return StaticallyPadded(module, _amounts(module), 0.0)
    return None


def _convolution(module: nn.Conv2d) -> nn.Module:
    left, right, top, bottom = amounts = _amounts(module)
    symmetric = (left, top) == (right, bottom)
    plain = nn.Conv2d(
        module.in_channels,
        module.out_channels,
        (module.kernel_size[0], module.kernel_size[1]),
        (module.stride[0], module.stride[1]),
        (top, left) if symmetric else 0,
        (module.dilation[0], module.dilation[1]),
        module.groups,
        module.bias is not None,
    )
    plain.load_state_dict(module.state_dict())
    return plain.eval() if symmetric else StaticallyPadded(plain.eval(), amounts, 0.0)


def _amounts(module: Any) -> tuple[int, int, int, int]:
    dilation = getattr(module, "dilation", (1, 1))
    top, bottom = _split(module.kernel_size[0], module.stride[0], dilation[0])
    left, right = _split(module.kernel_size[1], module.stride[1], dilation[1])
    return left, right, top, bottom


def _split(kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((kernel - 1) * dilation + 1 - stride, 0)
    return total // 2, total - total // 2  # TensorFlow puts the odd one last
