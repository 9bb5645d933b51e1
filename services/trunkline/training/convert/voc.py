"""Data sets in Pascal VOC's XML: Annotations/, JPEGImages/ and ImageSets/Main/."""

import re
from collections import defaultdict
from typing import Final
from xml.sax.saxutils import escape

from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.convert.writing import Job
from trunkline.training.data.classes import in_order
from trunkline.training.data.dataset import Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.splits import NONE
from trunkline.training.data.voc_layout import stem_listed

_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_voc(job: Job) -> None:
    """Boxes count pixels from 1 and include both ends; crowds are `difficult`.

    Raises DataInvalidError where no object is left.
    """
    classes = job.rename(lambda name: _NO_XML.sub("_", name).strip())
    folder, lists, used = job.stage / "Annotations", defaultdict[str, list[str]](list), set[int]()
    folder.mkdir()
    for sample, split, name in job.pictures(lambda *_: ""):
        job.put(sample, job.stage / "JPEGImages" / name)
        kept = [each for each in sample.objects or () if _holds(job, sample, each)]
        used |= {each.label for each in kept}
        stem = name.rpartition(".")[0]
        (folder / f"{stem}.xml").write_text(_document(name, sample, kept, classes), encoding="utf-8")
        lists[split].append(stem if stem_listed(stem) == stem else name)
    if not used:
        raise DataInvalidError.at(job.dataset.root, "there is no object that VOC's format can hold")
    for split, lines in lists.items():
        if split != NONE:
            path = job.stage / f"ImageSets/Main/{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    job.say_order(in_order(classes[label] for label in used), classes)


def _holds(job: Job, sample: Sample, each: ObjectTruth) -> bool:
    box = each.box
    if min(box.x_max - box.x_min, box.y_max - box.y_min) <= 1:
        job.lose(sample, each, "its box is no wider or higher than a pixel, which VOC cannot hold", whole=True)
        return False
    if each.mask is not None:
        job.lose(sample, each, "VOC has no outlines: its box is written alone")
    return True


def _document(name: str, sample: Sample, objects: list[ObjectTruth], classes: list[str]) -> str:
    assert sample.size is not None
    width, height = sample.size
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    found = "\n".join(_object(classes[each.label], each) for each in objects)
    return f"<annotation>\n<filename>{escape(name)}</filename>\n{size}\n{found}\n</annotation>\n"


def _object(class_name: str, each: ObjectTruth) -> str:
    return (
        f"<object><name>{escape(class_name)}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{int(each.crowd)}</difficult><bndbox>{_sides(each.box)}</bndbox></object>"
    )


def _sides(box: Box) -> str:
    sides = {"xmin": box.x_min + 1, "ymin": box.y_min + 1, "xmax": box.x_max, "ymax": box.y_max}
    return "".join(f"<{tag}>{side:.10g}</{tag}>" for tag, side in sides.items())
