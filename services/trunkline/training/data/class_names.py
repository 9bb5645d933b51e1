"""Names of classes on one line each, as labels.txt of a head has them."""

from dataclasses import replace

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import printable
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.remarks import Kind
from trunkline.training.data.texts import one_line

_BY_NUMBER = frozenset(
    {"coco", "yolo", "masks", "camvid", "voc-masks"}
)  # classes are known by ids there, not by names


def plainly_named(dataset: Dataset) -> Dataset:
    """The same data; line breaks in names of classes, of any kind, are blanks.

    Those that are equal then are one class; raises DataInvalidError where they have ids of their own.
    """
    plain = tuple(one_line(printable(name)) for name in dataset.classes)
    if plain == dataset.classes:
        return dataset
    for place, (name, new) in enumerate(zip(dataset.classes, plain, strict=True), 1):
        if name != new:
            around = name.strip(" ") == new
            what = "blanks around it, which are left out" if around else "a line break, which is read as a blank"
            text = f"the name of class {place} of {len(plain)} has {what}"
            dataset.remarks.read(Kind.LINE_BREAK, dataset.root.name, text)
    if not all(plain):
        raise DataInvalidError.at(dataset.root, "the name of a class is nothing but line breaks: give it one")
    classes = tuple(dict.fromkeys(plain))
    if len(classes) == len(plain):
        return replace(dataset, classes=plain)
    if dataset.layout in _BY_NUMBER:
        raise DataInvalidError.at(dataset.root, "two classes have the same name once its line breaks are blanks")
    index = {name: label for label, name in enumerate(classes)}
    labels = [index[name] for name in plain]
    samples = tuple(sample.relabelled(labels) for sample in dataset.samples)
    return replace(dataset, classes=classes, samples=samples)
