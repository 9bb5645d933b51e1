"""What the decisions of an R-CNN are worth: which of its answers to held-out pictures are right."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from trunkline.heads.detection.learn.svm_boxes import chosen, moved
from trunkline.heads.detection.learn.windows import overlaps

NMS_IOU = 0.3  # of the paper
_RIGHT = 0.5  # IoU from which an answer is right
_LOOKED_AT, _ANSWERS = 1000, 100  # of a class and a picture


class Calibrated(Protocol):
    """What is asked of the net."""

    classes: int
    windows: Tensor

    def vectors(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor: ...


def decisions_and_hits(
    net: Calibrated, weight: np.ndarray, bias: np.ndarray, seen: Iterable[tuple[list[Tensor], dict[str, Tensor]]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class, the decisions float64 (n,) of its answers, and whether each is right, bool (n,).

    An answer is what is left after suppression; it is right where it is the best for an object of its class.
    seen: maps and truth, picture by picture.
    """
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(net.classes)]
    product = torch.from_numpy(weight.astype(np.float32)), torch.from_numpy(bias.astype(np.float32))
    for maps, truth in seen:
        rows = nn.functional.linear(net.vectors(maps, net.windows), *product)  # (W, 5 K)
        decisions, deltas = rows[:, : net.classes], rows[:, net.classes :].reshape(-1, net.classes, 4)
        boxes = moved(net.windows, chosen(decisions, deltas))
        for label in range(net.classes):
            best = decisions[:, label].topk(min(_LOOKED_AT, len(boxes))).indices
            kept = best[nms(boxes[best], decisions[best, label], NMS_IOU)][:_ANSWERS]
            there = truth["boxes"][truth["labels"] == label + 1].numpy()
            answers = boxes[kept].numpy()
            known = _outside(answers, truth["ignored"].numpy())
            hits = _hits(answers, there)
            found[label].append((decisions[kept, label].numpy()[known], hits[known]))
    return [(np.concatenate([a for a, _ in each]), np.concatenate([b for _, b in each])) for each in found]


def _outside(answers: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    return np.asarray(overlaps(answers, ignored).max(axis=1, initial=0.0) < _RIGHT)


def _hits(answers: np.ndarray, there: np.ndarray) -> np.ndarray:
    """bool (n,), of answers in falling order; each object is found once."""
    iou, hits = overlaps(answers, there), np.zeros(len(answers), np.bool_)
    if not len(there):
        return hits
    for row in range(len(answers)):
        best = int(iou[row].argmax())
        if iou[row, best] >= _RIGHT:
            hits[row] = True
            iou[:, best] = -1.0
    return hits
