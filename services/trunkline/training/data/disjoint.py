"""Whole classes held out: for tasks that learn what is alike, and are measured on classes that they never saw."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from trunkline.training.data.dataset import Dataset
from trunkline.training.data.holdout import held_out
from trunkline.training.data.splits import FOR_TRAINING, NONE

_VALIDATION, _TEST = 0.1, 0.2  # shares of the classes
_FEWEST, _MOST_VALIDATION = 10, 16  # classes


def is_disjoint(dataset: Dataset) -> bool:
    """Whether no class has pictures for training and pictures for testing, and each has two classes or more."""
    train = {sample.label for sample in dataset.samples if sample.split in FOR_TRAINING}
    test = {sample.label for sample in dataset.of_split("test")}
    return bool(dataset.classes) and min(len(train), len(test)) > 1 and not train & test


def classes_held_out(dataset: Dataset) -> Dataset:
    """Data without splits: a fifth of the classes for test and a tenth for validation; of few, pictures of each.

    With splits but none for validation: a tenth of the classes for training, 16 at most, unless there are few. Which
    ones follows from their names, so that it is the same each time.
    """
    if not dataset.classes:
        return held_out(dataset)
    splits = {sample.split for sample in dataset.samples}
    if splits == {NONE}:
        order = _in_order(dataset, range(len(dataset.classes)))
        if len(order) < _FEWEST:
            return held_out(dataset)
        test, validation = max(2, round(_TEST * len(order))), _validation(len(order))
        moved = dict.fromkeys(order, "train") | dict.fromkeys(order[:test], "test")
        return _moved(dataset, moved | dict.fromkeys(order[test : test + validation], "val"), NONE)
    order = _in_order(dataset, {sample.label for sample in dataset.of_split("train") if sample.label is not None})
    if "val" in splits or len(order) < _FEWEST:
        return dataset
    return _moved(dataset, dict.fromkeys(order[: _validation(len(order))], "val"), "train")


def _validation(classes: int) -> int:
    return min(_MOST_VALIDATION, max(2, round(_VALIDATION * classes)))


def _in_order(dataset: Dataset, labels: Iterable[int]) -> list[int]:
    return sorted(labels, key=lambda label: hashlib.sha256(dataset.classes[label].encode()).digest())


def _moved(dataset: Dataset, splits: dict[int, str], before: str) -> Dataset:
    """Samples of split `before` in the new split of their label, where it has one."""
    samples = (
        replace(sample, split=splits.get(sample.label or 0, sample.split)) if sample.split == before else sample
        for sample in dataset.samples
    )
    return replace(dataset, samples=tuple(samples))
