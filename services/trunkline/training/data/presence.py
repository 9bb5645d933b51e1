"""Which classes a picture shows, from whatever the data says of it: what classification with several labels learns.

A CSV file has a column `label` with names joined by ";", or a column of 0 and 1 for each class. Data of objects or
masks says it by those that are there.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import shown
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.masks import UNKNOWN

_JOINED: Final = ";"


def presence(dataset: Dataset) -> Dataset:
    """The same pictures with `labels`, and nothing else known of them.

    Raises DataInvalidError where it says nothing of classes, or a column has another number than 0 and 1.
    """
    if dataset.classes and any(sample.label is not None for sample in dataset.samples):
        return _split_names(dataset)
    if dataset.target_names:
        return _of_columns(dataset)
    if not dataset.classes:
        raise DataInvalidError.at(dataset.root, "the data says nothing of classes: several labels cannot be learned")
    samples = tuple(_only_labels(sample, _seen(sample, len(dataset.classes))) for sample in dataset.samples)
    return replace(dataset, samples=samples)


def _split_names(dataset: Dataset) -> Dataset:
    """Each name may stand for several: "cat;dog"."""
    names = [[part for each in name.split(_JOINED) if (part := each.strip())] for name in dataset.classes]
    classes = tuple(sorted({each for parts in names for each in parts}))
    index = {name: label for label, name in enumerate(classes)}
    meant = [tuple(sorted({index[each] for each in parts})) for parts in names]
    samples = (_only_labels(each, () if each.label is None else meant[each.label]) for each in dataset.samples)
    return replace(dataset, classes=classes, samples=tuple(samples))


def _of_columns(dataset: Dataset) -> Dataset:
    columns = zip(*(each.targets for each in dataset.samples), strict=True)
    for name, values in zip(dataset.target_names, columns, strict=True):
        if not set(values) <= {0.0, 1.0}:
            reason = f"column {shown(name)!r} has other numbers than 0 and 1: it says of no class whether it is there"
            raise DataInvalidError.at(dataset.root, reason)
    seen = (tuple(label for label, value in enumerate(each.targets) if value) for each in dataset.samples)
    samples = tuple(map(_only_labels, dataset.samples, seen))
    return replace(dataset, classes=dataset.target_names, target_names=(), samples=samples)


def _seen(sample: Sample, classes: int) -> tuple[int, ...]:
    if sample.objects is not None:
        return tuple(sorted({each.label for each in sample.objects if not each.crowd}))
    if sample.mask is None:
        return ()
    found: Sequence[int] = np.unique(sample.mask.load()).tolist()
    return tuple(label for label in found if label < min(classes, UNKNOWN))


def _only_labels(sample: Sample, labels: tuple[int, ...]) -> Sample:
    return replace(sample, label=None, labels=labels, targets=(), mask=None, objects=None, size=None)
