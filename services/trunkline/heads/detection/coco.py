"""COCO's evaluation of detections, by faster-coco-eval: numbers equal those of pycocotools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from trunkline.core.masks import encode_mask
from trunkline.core.results import Box, Detections, RunLengthMask

RECALLS = np.linspace(0, 1, 101)  # at which precision is known
MOST = 100  # detections of a picture that count


class Outline(Protocol):
    def load(self) -> np.ndarray: ...


class ObjectTruth(Protocol):
    """`trunkline.training.data.objects.ObjectTruth` is one."""

    @property
    def label(self) -> int: ...
    @property
    def box(self) -> Box: ...
    @property
    def mask(self) -> Outline | None: ...
    @property
    def crowd(self) -> bool: ...


@dataclass(frozen=True)
class Precision:
    """values: float64 (10, 101, K), precision at IoU 0.5, 0.55 … 0.95, at RECALLS; -1 for a class without objects."""

    values: np.ndarray

    def of_classes(self, iou: float | None = None) -> np.ndarray:
        """float64 (K,): average precision of each class at one IoU, or the mean over all; nan without objects."""
        values = self.values if iou is None else self.values[_place(iou)][None]
        means = values.mean(axis=(0, 1))  # (K,)
        return np.where(values.min(axis=(0, 1)) < 0, np.nan, means)

    def mean(self, iou: float | None = None) -> float:
        """Over the classes that the data has; 0 where it has none."""
        found = self.of_classes(iou)
        return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0

    def curve(self, label: int, iou: float) -> np.ndarray:
        """float64 (101,): precision at RECALLS."""
        return np.asarray(self.values[_place(iou), :, label])


def precision(
    answers: Sequence[Detections],
    truths: Sequence[Sequence[ObjectTruth]],
    classes: int,
    kind: Literal["bbox", "segm"],
) -> Precision:
    """Compare the answers to pictures with what is known of them. Crowds are neither found nor missed.

    Source: Lin et al., Microsoft COCO: Common Objects in Context, 2014; pycocotools, `COCOeval`.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(
        {
            # Sizes are for polygons; outlines come as run lengths, with sizes of their own.
            "images": [{"id": index + 1, "height": 1, "width": 1} for index in range(len(truths))],
            "categories": [{"id": label + 1, "name": str(label)} for label in range(classes)],
            "annotations": _numbered([_known(each, kind) for each in truths]),
        }
    )
    found = _numbered([_answered(each, kind) for each in answers])
    evaluation = COCOeval_faster(truth, truth.loadRes(found), kind, print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    return Precision(np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1])


def _known(objects: Sequence[ObjectTruth], kind: str) -> list[dict[str, Any]]:
    return [
        {
            "category_id": each.label + 1,
            "iscrowd": int(each.crowd),
            **(_outline(encode_mask(each.mask.load() > 0)) if kind == "segm" and each.mask else _box(each.box)),
        }
        for each in objects
        if kind == "bbox" or each.mask is not None
    ]


def _answered(detections: Detections, kind: str) -> list[dict[str, Any]]:
    return [
        {
            "category_id": each.label.index + 1,
            "score": each.label.score,
            **(_outline(each.mask) if kind == "segm" and each.mask else _box(each.box)),
        }
        for each in detections.objects
        if kind == "bbox" or each.mask is not None
    ]


def _numbered(pictures: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    flat = [{"image_id": index + 1, **each} for index, picture in enumerate(pictures) for each in picture]
    return [{"id": number, **each} for number, each in enumerate(flat, 1)]


def _box(box: Box) -> dict[str, Any]:
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    return {"bbox": [box.x_min, box.y_min, width, height], "area": width * height}


def _outline(mask: RunLengthMask) -> Mapping[str, Any]:
    from faster_coco_eval.core import mask as coco

    runs = {"size": [mask.height, mask.width], "counts": mask.counts.encode()}
    area = float(coco.area(runs))
    return {"segmentation": runs, "area": area, "bbox": [float(value) for value in coco.toBbox(runs)]}


def _place(iou: float) -> int:
    return round((iou - 0.5) / 0.05)


def _silent(text: str) -> None:
    """It tells each step."""
