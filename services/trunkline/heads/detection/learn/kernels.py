"""Outlines by kernels that each object brings along: a small net of its own over the pixels of its box.

Sources: Tian et al., Conditional Convolutions for Instance Segmentation (CondInst), 2020, here over the box alone;
Milletari et al., V-Net, 2016, for the Dice loss beside cross-entropy.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, roi_align

from trunkline.heads.detection.learn.light_pyramid import separable
from trunkline.heads.detection.learn.outlines import cut_out, dice_loss

_STRIDE = 4  # of the map that outlines are made of
_WIDTH = 32
_SEEN = 8  # channels that the net of an object sees, beside the place in its box
_HIDDEN = 8
_SIZES = ((_SEEN + 2) * _HIDDEN, _HIDDEN, _HIDDEN * _HIDDEN, _HIDDEN, _HIDDEN, 1)  # weights and biases, by layer


class Kernels(nn.Module):
    """Boxes and what a detector knows at their places -> logits, one for each cell of a box."""

    def __init__(self, fine: int, width: int, cells: tuple[int, int]) -> None:
        """fine: channels of the map of stride 4. width: of the levels. cells: (rows, columns) of a box."""
        super().__init__()
        self._cells = cells
        self.edges = Conv2dNormActivation(fine, _WIDTH, 1, activation_layer=None)
        self.inner = Conv2dNormActivation(width, _WIDTH, 1, activation_layer=None)
        self.joined = nn.Sequential(separable(_WIDTH, _WIDTH), separable(_WIDTH, _WIDTH))
        self.seen = nn.Conv2d(_WIDTH, _SEEN, 1)
        self.net = nn.Linear(width, sum(_SIZES))
        nn.init.normal_(self.net.weight, std=0.01)
        rows, columns = (torch.linspace(-1, 1, count) for count in cells)
        places = torch.stack([columns.expand(*cells), rows[:, None].expand(*cells)])  # (2, rows, columns)
        self.register_buffer("places", places, persistent=False)

    def shown(self, fine: Tensor, level: Tensor) -> Tensor:
        """Map of stride 4 (N, C, H, W) and finest level -> what the nets of the objects see, (N, 8, H, W)."""
        wide = nn.functional.interpolate(self.inner(level), scale_factor=2.0)
        found: Tensor = self.seen(self.joined(torch.relu(self.edges(fine) + wide)))
        return found

    def forward(self, shown: Tensor, known: Tensor, boxes: list[Tensor]) -> Tensor:
        """known: (M, width) of all boxes; boxes: (m, 4) of each picture -> logits (M, rows, columns)."""
        cut = roi_align(shown, boxes, self._cells, 1 / _STRIDE, 1, aligned=True)  # (M, 8, rows, columns)
        places = torch.as_tensor(self.places)
        first = torch.cat([cut, places.expand(cut.shape[0], *places.shape)], dim=1)
        # flatten would ask the graph for the last size, which has no answer where there is no box.
        first = first.reshape(-1, _SEEN + 2, self._cells[0] * self._cells[1])  # (M, 10, cells)
        weight, bias, weight2, bias2, weight3, bias3 = self.net(known).split(_SIZES, dim=1)
        found = torch.relu(_layer(first, weight, bias, _HIDDEN))
        found = torch.relu(_layer(found, weight2, bias2, _HIDDEN))
        return _layer(found, weight3, bias3, 1).reshape(-1, *self._cells)

    def loss(
        self, shown: Tensor, known: Tensor, boxes: list[Tensor], of: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> Tensor:
        """of: int64 (m,) for each picture, the object of each box. masks: uint8 (N, H, W), of the model input."""
        if not len(known):
            return shown.sum() * 0
        logits = self(shown, known, boxes)
        cut = zip(masks, boxes, of, strict=True)
        wanted = torch.cat([cut_out(mask[index], box, self._cells) for mask, box, index in cut])
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted) + dice_loss(logits.sigmoid(), wanted)


def _layer(values: Tensor, weight: Tensor, bias: Tensor, leave: int) -> Tensor:
    """(M, enter, cells) -> (M, leave, cells), by weights and biases of each of the M."""
    return torch.baddbmm(bias[:, :, None], weight.reshape(-1, leave, values.shape[1]), values)
