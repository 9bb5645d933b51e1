"""A one-stage detector on the maps of the backbone: a small neck, and Ultralytics' Detect head with its loss.

Sources: Jocher et al., Ultralytics YOLOv8, 2023 (head, loss); Liu et al., Path Aggregation Network, 2018 (neck);
Feng et al., TOOD, 2021 (which places learn an object); Li et al., Generalized Focal Loss, 2020 (sides as
distributions).
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from trunkline.heads.detection.learn.ultralytics_parts import ultralytics_parts
from trunkline.heads.learner import TaskNet

_STRIDES = (8.0, 16.0, 32.0)
_WIDTHS = {"light": 64, "medium": 96, "large": 128}
_DEPTHS = {"light": 1, "medium": 1, "large": 2}
_GAINS = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)  # Ultralytics' own
_NMS_IOU, _MOST, _LEAST_SCORE, _LOOKED_AT = 0.6, 100, 0.01, 1000  # of answers to validation pictures


class YoloNet(TaskNet):
    """Maps c3 c4 c5, float32 (N, C, H, W), of pictures of one size.

    forward, of one picture: boxes float32 (1, M, 4) in pixels of the model input and scores float32 (1, M, K), M the
    number of places of the three maps.
    """

    makes_losses = True
    outputs = ("boxes", "scores")

    def __init__(
        self,
        channels: Mapping[str, int],
        classes: int,
        size: Literal["light", "medium", "large"],
        weights: Tensor | None = None,
    ) -> None:
        """weights: float32 (K,) of the classes in the loss. Raises ConfigurationError without Ultralytics."""
        super().__init__()
        parts, width = ultralytics_parts(), _WIDTHS[size]
        self.neck = _Neck(tuple(channels.values()), width, _DEPTHS[size])
        self.detect = parts.detect(nc=classes, ch=(width,) * len(_STRIDES))
        self.detect.stride = torch.tensor(_STRIDES)
        parts.initialise(self)
        self.detect.bias_init()
        # Corners instead of centre and sides; one tensor instead of it and what it is made of.
        self.detect.xyxy, self.detect.export = True, True
        self._loss = _loss_of(self.detect, weights)

    def losses(self, maps: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Scalars by name, for each picture, to be added up. What is to be ignored counts as background here."""
        found = self.detect.forward_head(self.neck(maps), **self.detect.one2many)
        height, width = (int(8 * side) for side in maps[0].shape[2:])
        total, _ = self._loss(found, _as_ultralytics(targets, width, height))
        return dict(zip(("box", "class", "distribution"), total / len(targets), strict=True))

    def answers(self, maps: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """For each picture: boxes (n, 4), scores (n,) and labels int64 (n,) from 1 on, overlapping ones left out."""
        boxes, scores = self._decoded(maps)
        return [_best(*each) for each in zip(boxes, scores, strict=True)]

    def forward(self, *maps: Tensor) -> tuple[Tensor, Tensor]:
        return self._decoded(maps)

    def difference(self, want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
        """Row by row: their order is that of the places."""
        return max(_off(want[name], found[name]) for name in self.outputs)

    def _decoded(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        rows: Tensor = self.detect(self.neck(maps)).transpose(1, 2)  # (N, M, 4 + K)
        return rows[:, :, :4], rows[:, :, 4:]


class _Neck(nn.Module):
    """Three maps of any widths -> three of one width, each of which has seen the others."""

    def __init__(self, widths: Sequence[int], width: int, depth: int) -> None:
        super().__init__()
        conv, c2f = ultralytics_parts().conv, ultralytics_parts().c2f
        # Batch norm, as the maps of a backbone have very different ranges; in a graph it is part of the convolution.
        self.enter = nn.ModuleList(conv(each, width, 1) for each in widths)
        self.up = nn.ModuleList(c2f(2 * width, width, depth) for _ in range(2))
        self.smaller = nn.ModuleList(conv(width, width, 3, 2) for _ in range(2))
        self.down = nn.ModuleList(c2f(2 * width, width, depth) for _ in range(2))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (enter(each) for enter, each in zip(self.enter, maps, strict=True))
        middle = self.up[0](torch.cat([nn.functional.interpolate(coarse, scale_factor=2.0), middle], dim=1))
        fine = self.up[1](torch.cat([nn.functional.interpolate(middle, scale_factor=2.0), fine], dim=1))
        middle = self.down[0](torch.cat([self.smaller[0](fine), middle], dim=1))
        coarse = self.down[1](torch.cat([self.smaller[1](middle), coarse], dim=1))
        return [fine, middle, coarse]


def _loss_of(detect: nn.Module, weights: Tensor | None) -> Any:
    """Ultralytics' loss looks at a model for its last module, its gains and its class weights."""
    model = SimpleNamespace(args=_GAINS, model=[detect], parameters=detect.parameters, class_weights=weights)
    return ultralytics_parts().detection_loss(model)


def _as_ultralytics(targets: Sequence[Mapping[str, Tensor]], width: int, height: int) -> dict[str, Tensor]:
    """Objects of all pictures one after another: centre and sides as shares of the input, labels from 0 on."""
    corners = torch.cat([each["boxes"] for each in targets]) / torch.tensor([width, height] * 2)  # (n, 4)
    low, high = corners[:, :2], corners[:, 2:]
    pictures = [torch.full((len(each["boxes"]),), float(index)) for index, each in enumerate(targets)]
    return {
        "batch_idx": torch.cat(pictures),
        "cls": torch.cat([each["labels"] for each in targets]).to(torch.float32) - 1,
        "bboxes": torch.cat([(low + high) / 2, high - low], dim=1),
    }


def _best(boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
    row, label = torch.where(scores > _LEAST_SCORE)
    score = scores[row, label]
    first = score.argsort(descending=True)[:_LOOKED_AT]
    row, label, score = row[first], label[first], score[first]
    kept = batched_nms(boxes[row], score, label, _NMS_IOU)[:_MOST]
    return {"boxes": boxes[row[kept]], "scores": score[kept], "labels": label[kept] + 1}


def _off(want: np.ndarray, found: np.ndarray) -> float:
    """Relative to the largest value."""
    if want.shape != found.shape:
        return float("inf")
    return float(np.abs(want.astype(np.float64) - found).max(initial=0)) / max(
        1.0, float(np.abs(want).max(initial=0))
    )
