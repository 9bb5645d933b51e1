"""Data sets in COCO's JSON: instances_train.json and so on, with the pictures below train/ and so on."""

import json
from collections import defaultdict
from typing import Any

from trunkline.core.masks import encode_mask
from trunkline.training.convert.writing import Job
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import Outline, Polygons, RunLengths
from trunkline.training.data.splits import NONE

_PLAIN = "images"  # the folder of pictures without a split


def write_coco(job: Job) -> None:
    """annotations/instances_SPLIT.json, or instances.json without splits; categories count from 1."""
    images: dict[str, list[dict[str, Any]]] = defaultdict(list)
    annotations: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, (sample, split, name) in enumerate(job.pictures(lambda _, split: split), 1):
        assert sample.size is not None
        job.put(sample, job.stage / (split or _PLAIN) / name)
        width, height = sample.size
        images[split].append({"id": number, "file_name": name, "width": width, "height": height})
        for each in sample.objects or ():
            entry = {"id": len(annotations[split]) + 1, "image_id": number, **_annotation(each)}
            annotations[split].append(entry)
    categories = [
        {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(job.dataset.classes, 1)
    ]
    folder = job.stage / "annotations"
    folder.mkdir()
    for split, found in images.items():
        document = {"images": found, "annotations": annotations[split], "categories": categories}
        name = "instances.json" if split == NONE else f"instances_{split}.json"
        (folder / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _annotation(each: ObjectTruth) -> dict[str, Any]:
    box = each.box
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    return {
        "category_id": each.label + 1,
        "bbox": [box.x_min, box.y_min, width, height],
        "area": width * height if each.mask is None else int(each.mask.load().sum()),
        "iscrowd": int(each.crowd),
        "segmentation": [] if each.mask is None else _segmentation(each.mask),
    }


def _segmentation(mask: Outline) -> list[list[float]] | dict[str, Any]:
    """Polygons and run lengths as they are; anything else as run lengths."""
    if isinstance(mask, Polygons):
        return [list(line) for line in mask.lines]
    if isinstance(mask, RunLengths):
        counts = mask.counts if isinstance(mask.counts, str) else list(mask.counts)
        return {"size": [mask.height, mask.width], "counts": counts}
    runs = encode_mask(mask.load().astype(bool))
    return {"size": [runs.height, runs.width], "counts": runs.counts}
