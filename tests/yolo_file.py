"""A small detector in an ONNX file as Ultralytics lays it out: real torch, exported, whose truth can be told."""

from io import BytesIO
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

CELL = 32
NAMES = {0: "bright", 1: "dark"}


class Spots(nn.Module):
    """float32 (1, 3, H, W), 0 to 1: each cell of 32x32 is a box; `bright` by how white it is, `dark` by how black.

    grid: (1, 6, N), centre and sides, then two probabilities. rows: (1, N, 6), corners, probability, class.
    """

    def __init__(self, layout: str = "grid") -> None:
        super().__init__()
        self.layout = layout
        self.gray = nn.Conv2d(3, 1, 1)
        self.gray.weight.data.fill_(2 / 3)
        assert self.gray.bias is not None
        self.gray.bias.data.fill_(-1)

    def forward(self, picture: Tensor) -> Tensor:
        cells = nn.functional.avg_pool2d(self.gray(picture), CELL)[:, 0]  # (1, h, w), -1 to 1
        y, x = torch.meshgrid(torch.arange(cells.shape[1]), torch.arange(cells.shape[2]), indexing="ij")
        centres = (torch.stack([x, y], dim=-1).reshape(1, -1, 2) + 0.5) * CELL  # (1, N, 2)
        centres = centres.repeat(cells.shape[0], 1, 1)
        sides = torch.full_like(centres, float(CELL))
        scores = torch.stack([cells.flatten(1), -cells.flatten(1)], dim=-1).clamp(0, 1)  # (1, N, 2)
        if self.layout == "grid":
            return torch.cat([centres, sides, scores], dim=2).transpose(1, 2)
        best, label = scores.max(dim=2, keepdim=True)
        return torch.cat([centres - sides / 2, centres + sides / 2, best, label.to(best.dtype)], dim=2)


def write_yolo(
    file: Path,
    net: nn.Module | None = None,
    *,
    height: int = 160,
    width: int = 224,
    batch: int = 1,
    dynamic: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Export as Ultralytics does: input `images`, output `output0`, what it says of itself in the metadata."""
    data = BytesIO()
    names = {"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 2: "anchors"}}
    torch.onnx.export(
        (net or Spots()).eval(),
        (torch.zeros(batch, 3, height, width),),
        data,
        dynamo=False,
        opset_version=17,
        input_names=["images"],
        output_names=["output0"],
        dynamic_axes=names if dynamic else None,
    )
    model = onnx.load_from_string(data.getvalue())
    facts = {"task": "detect", "imgsz": f"[{height}, {width}]", "names": str(NAMES), "stride": "32", "channels": "3"}
    facts |= {"description": "Ultralytics YOLOv8n model trained on /home/me/data.yaml", "version": "8.4.190"}
    facts |= {
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "args": "{'data': '/home/me/data.yaml'}",
    }
    set_metadata(model, facts | (metadata or {}))
    onnx.save(model, file)
    return file


def set_metadata(model: Any, facts: dict[str, str]) -> None:
    del model.metadata_props[:]
    for key, value in facts.items():
        if value:
            item = model.metadata_props.add()
            item.key, item.value = key, value
