"""Small nets in ONNX files as YOLOX and NanoDet export theirs: real torch, whose boxes are known."""

from io import BytesIO
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

HEIGHT, WIDTH = 128, 160
CLASSES = ("red", "green", "blue")
BINS = 8


def places(strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Column, row and stride of each place, level by level and row by row."""
    return [
        (x, y, stride) for stride in strides for y in range(-(-HEIGHT // stride)) for x in range(-(-WIDTH // stride))
    ]


class Colours(nn.Module):
    """How much of each colour a picture has, 0 to 1, whatever its scaling: BGR in, red green blue out."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        values = picture * self.std + self.mean  # BGR, 0 to 255
        return (values.mean(dim=(2, 3)) / 255).flip(1)  # (1, 3)


class YoloxNet(nn.Module):
    """(1, N, 8): the numbers that are given; every box is an object and has the classes of the picture's colours.

    values: float32 (N, 4). decoded: whether they are pixels, as with --decode_in_inference.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.colours = Colours((0.0,) * 3, (1.0,) * 3)

    def forward(self, picture: Tensor) -> Tensor:
        count = self.values.shape[0]
        half = torch.full((1, count, 1), 0.5)
        classes = self.colours(picture)[:, None].expand(1, count, 3)
        return torch.cat([self.values[None], half, classes], dim=2)


class NanodetNet(nn.Module):
    """(1, N, 3 + 4 * BINS): classes, then the logits that are given, float32 (N, 4 * BINS)."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)
        self.colours = Colours((103.53, 116.28, 123.675), (57.375, 57.12, 58.395))

    def forward(self, picture: Tensor) -> Tensor:
        classes = self.colours(picture)[:, None].expand(1, self.logits.shape[0], 3)
        return torch.cat([classes, self.logits[None]], dim=2)


def write_net(file: Path, net: nn.Module, name: str = "images") -> Path:
    """With no word on what it is, as both libraries export."""
    data = BytesIO()
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 3, HEIGHT, WIDTH),),
        data,
        dynamo=False,
        opset_version=11,
        input_names=[name],
        output_names=["output"],
    )
    onnx.save(onnx.load_from_string(data.getvalue()), file)
    return file
