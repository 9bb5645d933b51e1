"""Outlines of objects in boxes: what is there from the pyramid, where exactly it ends from a fine map.

Sources: He et al., Mask R-CNN, 2017, section 3; Zhang et al., RefineMask, 2021, for a fine map that joins in at a
higher resolution, here once; Milletari et al., V-Net, 2016, section 3, for the Dice loss beside cross-entropy.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.ops import Conv2dNormActivation, MultiScaleRoIAlign, roi_align

from trunkline.heads.detection.learn.sizes import FINE, RcnnSize
from trunkline.heads.detection.learn.stages import SAMPLES, Levels, Sampled

_CELLS = 14  # of a box at a side, where it is a square
_LONGEST = 2.0  # ratio of the sides up to which there are as many more cells along the longer one
_FINE_STRIDE = 2 ** int(FINE[1:])
_FINE_WIDTH = 32  # channels that are left of the fine map


def cells_for(sides: np.ndarray) -> tuple[int, int]:
    """(rows, columns) of cells for boxes of these widths and heights, float (N, 2): about 14 x 14 in number."""
    ratio = float(np.median(sides[:, 1] / sides[:, 0])) if len(sides) else 1.0
    longer = np.sqrt(np.clip(ratio, 1 / _LONGEST, _LONGEST))
    return round(_CELLS * longer), round(_CELLS / longer)


class Outlines(nn.Module):
    """Boxes of pictures of one size to logits, two for each cell and side, learned for all classes together."""

    def __init__(
        self, fine: int, size: RcnnSize, input_size: tuple[int, int], cells: tuple[int, int] = (_CELLS, _CELLS)
    ) -> None:
        """fine: channels of the fine map. input_size: (height, width) of the model input. cells: (rows, columns)."""
        super().__init__()
        self._input_size, self._cells = input_size, cells
        self.pool = MultiScaleRoIAlign(list(size.maps), cells, SAMPLES)
        self.inner = MaskRCNNHeads(size.width, (size.width,) * size.mask_layers, 1, norm_layer=nn.BatchNorm2d)
        half = size.width // 2
        self.finer = nn.Sequential(nn.ConvTranspose2d(size.width, half, 2, 2), nn.ReLU())
        self.narrow = Conv2dNormActivation(fine, _FINE_WIDTH, 1)
        self.joined = nn.Sequential(
            Conv2dNormActivation(half + _FINE_WIDTH, half, 3),
            Conv2dNormActivation(half, half, 3),
            nn.Conv2d(half, 1, 1),
        )

    def forward(self, levels: Levels, fine: Tensor, boxes: list[Tensor]) -> Tensor:
        """Levels of the pyramid, fine map (N, C, H, W), boxes (M, 4) of each picture -> (M, 2 rows, 2 columns)."""
        pooled = self.pool(levels, boxes, [self._input_size] * len(boxes))  # (M, width, rows, columns)
        inner = self.finer(self.inner(pooled))
        rows, columns = self._cells
        edges = roi_align(self.narrow(fine), boxes, (2 * rows, 2 * columns), 1 / _FINE_STRIDE, 1)
        found: Tensor = self.joined(torch.cat([inner, edges], dim=1))[:, 0]
        return found

    def loss(self, levels: Levels, fine: Tensor, sampled: Sampled, masks: Sequence[Tensor]) -> Tensor:
        """masks: uint8 (N, H, W) of the objects of each picture, in pixels of the model input."""
        objects = [label > 0 for label in sampled.labels]
        boxes = [box[chosen] for box, chosen in zip(sampled.regions, objects, strict=True)]
        of = [index[chosen] for index, chosen in zip(sampled.matched, objects, strict=True)]
        if not any(map(len, boxes)):
            return fine.sum() * 0
        logits = self(levels, fine, boxes)
        cut = zip(masks, boxes, of, strict=True)
        wanted = torch.cat([cut_out(mask[index], box, logits.shape[-2:]) for mask, box, index in cut])
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted) + dice_loss(logits.sigmoid(), wanted)


def cut_out(masks: Tensor, boxes: Tensor, cells: Sequence[int]) -> Tensor:
    """uint8 (M, H, W) and a box (M, 4) of each -> float32 (M, rows, columns): the share of a cell that is object."""
    numbered = torch.cat([torch.arange(len(boxes), dtype=boxes.dtype)[:, None], boxes], dim=1)  # (M, 5)
    found: Tensor = roi_align(masks[:, None].to(boxes.dtype), numbered, list(cells), 1.0, aligned=True)
    return found[:, 0]


def dice_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """(M, h, w) probabilities and shares. The 1 keeps empty ones from being no number."""
    shared, both = (found * wanted).sum(dim=(1, 2)), found.square().sum(dim=(1, 2)) + wanted.square().sum(dim=(1, 2))
    return (1 - (2 * shared + 1) / (both + 1)).mean()
