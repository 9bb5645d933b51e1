"""Validation and test pictures for data that names no splits."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.splits import NONE

_VALIDATION, _TEST = 0.1, 0.2  # shares of each class


def held_out(dataset: Dataset) -> Dataset:
    """The data as it is where any sample has a split; or else a fifth of each class for test, a tenth for validation.

    Which ones follows from their names, so that it is the same each time.
    """
    if any(sample.split != NONE for sample in dataset.samples):
        return dataset
    groups: dict[int | None, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        groups[sample.label].append(sample)
    split = {sample.name: name for group in groups.values() for sample, name in _split(group)}
    samples = tuple(replace(sample, split=split[sample.name]) for sample in dataset.samples)
    return replace(dataset, samples=samples)


def _split(group: Sequence[Sample]) -> list[tuple[Sample, str]]:
    order = sorted(group, key=lambda sample: hashlib.sha256(_picture(sample).encode()).digest())
    test = round(_TEST * len(order))
    validation = test + round(_VALIDATION * len(order))
    splits: dict[str, str] = {}  # parts of one picture stay together
    for place, sample in enumerate(order):
        splits.setdefault(_picture(sample), "test" if place < test else "val" if place < validation else "train")
    return [(sample, splits[_picture(sample)]) for sample in order]


def _picture(sample: Sample) -> str:
    return sample.part_of or sample.name
