"""Data sets in YOLO's text: data.yaml, images/ and labels/ with a folder for each split."""

from pathlib import Path
from typing import Final

from trunkline.core.results import Box
from trunkline.training.convert.writing import Job
from trunkline.training.data.boxes import box_around
from trunkline.training.data.dataset import Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import Polygons
from trunkline.training.data.splits import NONE, SPLITS

_ROUNDING: Final = 0.01  # pixels that are not worth a word


def write_yolo(job: Job) -> None:
    """A line for each object: its box, or its outline where that is one polygon. Without splits, classes.txt in place
    of data.yaml."""
    classes, splits = job.rename(str.strip), set[str]()
    for sample, split, name in job.pictures(lambda _, split: split):
        job.put(sample, job.stage / "images" / split / name)
        path = job.stage / "labels" / split / f"{name.rpartition('.')[0]}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in _lines(job, sample)), encoding="utf-8")
        splits.add(split)
    if splits == {NONE}:
        (job.stage / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    else:
        _write_yaml(job.stage / "data.yaml", splits, classes)


def _write_yaml(path: Path, splits: set[str], classes: list[str]) -> None:
    import yaml  # late: it needs the train extra

    document: dict[str, object] = {split: f"images/{split}" for split in SPLITS if split in splits}
    document["names"] = dict(enumerate(classes))
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=1000), encoding="utf-8")


def _lines(job: Job, sample: Sample) -> list[str]:
    assert sample.size is not None
    lines: dict[str, None] = {}
    for each in sample.objects or ():
        if each.crowd:
            job.lose(sample, each, "YOLO has no crowds and no difficult objects", whole=True)
            continue
        values = _outline(job, sample, each) or _box(each.box, sample.size)
        line = " ".join([str(each.label), *(f"{value:.12g}" for value in values)])
        if line in lines:
            job.lose(sample, each, "another object is the same, which YOLO has once", whole=True)
        lines[line] = None
    return list(lines)


def _outline(job: Job, sample: Sample, each: ObjectTruth) -> list[float] | None:
    """In shares of the picture; None where the box is written alone."""
    mask = each.mask
    if mask is None:
        return None
    if not isinstance(mask, Polygons) or len(mask.lines) != 1:
        what = "several polygons" if isinstance(mask, Polygons) else "pixels"
        job.lose(sample, each, f"its outline is {what} and not one polygon: its box is written alone")
        return None
    line, width, height = mask.lines[0], mask.width, mask.height
    values = [min(max(v / (height if place % 2 else width), 0.0), 1.0) for place, v in enumerate(line)]
    around = box_around([v * (height if place % 2 else width) for place, v in enumerate(values)])
    if any(abs(a - b) > _ROUNDING for a, b in zip(vars(around).values(), vars(each.box).values(), strict=True)):
        job.lose(sample, each, "its box is not that around its outline, which YOLO takes for it")
    return values


def _box(box: Box, size: tuple[int, int]) -> list[float]:
    width, height = size
    middle = [(box.x_min + box.x_max) / 2 / width, (box.y_min + box.y_max) / 2 / height]
    return [*middle, (box.x_max - box.x_min) / width, (box.y_max - box.y_min) / height]
