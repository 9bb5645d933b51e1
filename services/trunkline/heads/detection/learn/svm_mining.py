"""Learning an R-CNN: regions of pictures, hard negatives, then SVMs, regressors and probabilities.

Source: Girshick et al. 2014, sections 2.3 and appendices B and C. Positives are the objects themselves; negatives
windows that overlap none by 0.3 or more; hard ones are mined in passes over the pictures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trunkline.core.errors import InvalidRequestError
from trunkline.heads.detection.learn.svm_calibrate import decisions_and_hits
from trunkline.heads.detection.learn.svm_solve import box_regressor, platt, support_vector_machine
from trunkline.heads.detection.learn.windows import overlaps

# IoU below which a window is a negative, and from which its box is regressed. The paper's 0.6 is for regions that
# follow edges; windows lie less well, and the best one of an object is often one of half of it.
_NEGATIVE, _REGRESSED = 0.3, 0.4
_FIRST, _HARD = 20, 30  # negatives of a picture, drawn, and mined in each pass for each class
_PASSES = 2
_PAIRS = 24  # windows of a picture whose boxes are regressed
_MOST = 10_000  # negatives of a class
_MARGIN = -1.0  # decision from which a negative is a hard one
_HELD_OUT = 5

Progress = Callable[[str, int, int], None]


class Regions(Protocol):
    """What is asked of the net."""

    classes: int
    width: int
    windows: Tensor

    def vectors(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Solution:
    """Rows of the net: weight (5 K, D), bias (5 K,), slope and offset (K,). facts: for settings and card."""

    weight: np.ndarray
    bias: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    facts: dict[str, Any]


@dataclass
class _Cache:
    """Vectors by class: of objects, of negatives, and of windows whose boxes are regressed, with their deltas."""

    positives: list[list[np.ndarray]]
    negatives: list[list[np.ndarray]]
    regressed: list[list[np.ndarray]]
    deltas: list[list[np.ndarray]]
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    spread: np.ndarray = field(default_factory=lambda: np.ones(0))


@torch.inference_mode()
def solve(net: Regions, train: Dataset[Any], validation: Dataset[Any] | None, progress: Progress) -> Solution:
    """Raises InvalidRequestError where no picture has an object of a class."""
    learned, held = _parts(train, validation)
    rng = np.random.default_rng(0)
    cache = _collected(net, train, learned, rng, progress)
    weight, bias = _machines(net, cache)
    for number in range(_PASSES):
        hard = _mined(net, train, learned, cache, (weight, bias), progress, f"hard negatives {number + 1}")
        if not hard:
            break
        weight, bias = _machines(net, cache)
    deltas = [box_regressor(_scaled(cache, rows), _joined(moves, 4)) for rows, moves in _pairs(net, cache)]
    weight = np.concatenate([weight, *(each[0] for each in deltas)])  # (5 K, D)
    bias = np.concatenate([bias, *(each[1] for each in deltas)])
    weight = weight / cache.spread  # the scaling becomes a part of the product
    bias = bias - weight @ cache.mean
    seen = _all(validation if validation is not None else train, held, progress, "calibration")
    sigmoids = [platt(*pair) for pair in decisions_and_hits(net, weight, bias, seen)]
    facts = {
        "windows": len(net.windows),
        "positives": [sum(map(len, rows)) for rows in cache.positives],
        "negatives": [sum(map(len, rows)) for rows in cache.negatives],
    }
    return Solution(weight, bias, np.array([a for a, _ in sigmoids]), np.array([b for _, b in sigmoids]), facts)


def _parts(train: Dataset[Any], validation: Dataset[Any] | None) -> tuple[list[int], list[int]]:
    """Indices to learn from, and those to calibrate on, of the validation data if there is any."""
    count = len(train)  # type: ignore[arg-type]
    if validation is not None:
        return list(range(count)), list(range(len(validation)))  # type: ignore[arg-type]
    held = list(range(0, count, _HELD_OUT))
    return [index for index in range(count) if index % _HELD_OUT], held


def _all(
    data: Dataset[Any], indices: Sequence[int], progress: Progress, stage: str
) -> Iterator[tuple[list[Tensor], dict[str, Tensor]]]:
    """Maps and truth, picture by picture."""
    for done, index in enumerate(indices, 1):
        maps, truths = data.__getitems__([index])  # type: ignore[attr-defined]
        yield [each.contiguous() for each in maps], truths[0]
        progress(stage, done, len(indices))


def _collected(
    net: Regions, train: Dataset[Any], indices: Sequence[int], rng: np.random.Generator, progress: Progress
) -> _Cache:
    cache = _Cache(_empty(net), _empty(net), _empty(net), _empty(net))
    windows = net.windows.numpy()
    for maps, truth in _all(train, indices, progress, "regions"):
        boxes, labels = truth["boxes"].numpy(), truth["labels"].numpy() - 1
        iou = _overlaps(windows, truth)  # (W, n + ignored)
        free = np.flatnonzero(iou.max(axis=1, initial=0.0) < _NEGATIVE)
        drawn = rng.permutation(free)[:_FIRST]
        near = np.flatnonzero(iou[:, : len(boxes)].max(axis=1, initial=0.0) >= _REGRESSED)
        pairs = rng.permutation(near)[:_PAIRS]
        chosen = np.concatenate([boxes, windows[drawn], windows[pairs]])
        vectors = net.vectors(maps, torch.from_numpy(chosen)).numpy()  # (…, D)
        objects, negatives, regressed = np.split(vectors, [len(boxes), len(boxes) + len(drawn)])
        best = iou[pairs][:, : len(boxes)].argmax(axis=1) if len(boxes) else np.zeros(0, np.int64)
        deltas = _deltas(windows[pairs], boxes[best]) if len(pairs) else np.zeros((0, 4))
        for label in range(net.classes):
            cache.positives[label].append(objects[labels == label])
            cache.negatives[label] += [negatives, objects[labels != label]]
            cache.regressed[label].append(regressed[labels[best] == label])
            cache.deltas[label].append(deltas[labels[best] == label])
    everything = np.concatenate([part for rows in (cache.positives, cache.negatives) for one in rows for part in one])
    for label in range(net.classes):
        if not all(sum(map(len, rows[label])) for rows in (cache.positives, cache.negatives)):
            raise InvalidRequestError(
                f"class {label} has no object, or leaves no window free, in the pictures that are learned from: "
                "svm-rcnn needs more of them"
            )
    cache.mean, cache.spread = everything.mean(axis=0), np.maximum(everything.std(axis=0), 1e-6)
    return cache


def _empty(net: Regions) -> list[list[np.ndarray]]:
    return [[] for _ in range(net.classes)]


def _machines(net: Regions, cache: _Cache) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, D) and biases (K,), of scaled vectors."""
    found = [
        support_vector_machine(_scaled(cache, cache.positives[label]), _scaled(cache, cache.negatives[label]))
        for label in range(net.classes)
    ]
    return np.stack([weight for weight, _ in found]), np.array([bias for _, bias in found])


def _mined(
    net: Regions,
    train: Dataset[Any],
    indices: Sequence[int],
    cache: _Cache,
    machines: tuple[np.ndarray, np.ndarray],
    progress: Progress,
    stage: str,
) -> int:
    """Negatives that the machines take for objects, put into the cache. Returns how many."""
    weight = machines[0] / cache.spread
    bias = machines[1] - weight @ cache.mean
    added = 0
    for maps, truth in _all(train, indices, progress, stage):
        vectors = net.vectors(maps, net.windows).numpy()  # (W, D)
        decisions = vectors @ weight.T.astype(np.float32) + bias  # (W, K)
        labels = truth["labels"].numpy() - 1
        iou = _overlaps(net.windows.numpy(), truth)
        for label in range(net.classes):
            same = np.r_[labels == label, np.ones(iou.shape[1] - len(labels), np.bool_)]  # what is ignored, too
            hard = (iou[:, same].max(axis=1, initial=0.0) < _NEGATIVE) & (decisions[:, label] > _MARGIN)
            rows = np.flatnonzero(hard)
            rows = rows[np.argsort(-decisions[rows, label])][:_HARD]
            room = _MOST - sum(map(len, cache.negatives[label]))
            if room > 0 and len(rows):
                cache.negatives[label].append(vectors[rows[:room]])
                added += len(rows[:room])
    return added


def _overlaps(windows: np.ndarray, truth: dict[str, Tensor]) -> np.ndarray:
    """With the objects, then with what is ignored: float64 (W, n + m)."""
    return overlaps(windows, torch.cat([truth["boxes"], truth["ignored"]]).numpy())


def _deltas(windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What turns windows (n, 4) into boxes (n, 4), as `svm_boxes.moved` applies it: float64 (n, 4)."""
    sides, wanted = windows[:, 2:] - windows[:, :2], boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:] - windows[:, :2] - windows[:, 2:]) / (2 * sides)
    return np.concatenate([centres, np.log(wanted / sides)], axis=1)


def _pairs(net: Regions, cache: _Cache) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    return zip(cache.regressed, cache.deltas, strict=True)


def _scaled(cache: _Cache, parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray((_joined(parts, len(cache.mean)) - cache.mean) / cache.spread)


def _joined(parts: Sequence[np.ndarray], width: int) -> np.ndarray:
    return np.concatenate([np.zeros((0, width), np.float32), *parts])
