"""Maps of several stages as vectors of places, and pictures in batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Progress = Callable[[str, int, int], None]
_AT_ONCE = 16  # pictures
_AROUND = 3  # side of the square of places that a vector is averaged over


def joined(maps: Sequence[Tensor], grid: int) -> Tensor:
    """float32 (N, C, H, W) each -> (N, sum of C, h, w) on the grid of maps[grid], averaged over neighbours.

    Finer maps are averaged, coarser ones interpolated. Source: Roth et al., Towards Total Recall in Industrial
    Anomaly Detection, 2022, section 3.1 (locally aware patch features).
    """
    height, width = maps[grid].shape[2:]
    return torch.cat([_on(_around(each), height, width) for each in maps], dim=1)


def _around(level: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(level, _AROUND, 1, _AROUND // 2, count_include_pad=False)


def _on(level: Tensor, height: int, width: int) -> Tensor:
    if level.shape[2] > height:
        return nn.functional.avg_pool2d(level, (level.shape[2] // height, level.shape[3] // width))
    if level.shape[2] < height:
        return nn.functional.interpolate(level, size=(height, width), mode="bilinear", align_corners=False)
    return level


def rows_of(places: Tensor) -> Tensor:
    """(N, C, h, w) -> (N h w, C)"""
    return places.permute(0, 2, 3, 1).flatten(0, 2)


def batches(data: Any, stage: str, progress: Progress) -> Iterator[list[Tensor]]:
    """Maps of all views of all pictures."""
    pairs = [(index, view) for view in range(data.views) for index in range(len(data))]
    for begin in range(0, len(pairs), _AT_ONCE):
        part = pairs[begin : begin + _AT_ONCE]
        maps, _ = data.of_views([index for index, _ in part], [view for _, view in part])
        yield [each.contiguous() for each in maps]
        progress(stage, begin + len(part), len(pairs))
