"""Looks at every picture of a data set before anything is trained on it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.images import EncodedImage
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.disjoint import is_disjoint
from trunkline.training.data.masks import IGNORED
from trunkline.training.data.report import Broken, DataReport, Duplicate, TargetRange
from trunkline.training.data.splits import FOR_TRAINING, NONE, SPLITS

FEWEST = 5  # pictures of a class for training, below which it is worth a warning
_UNBALANCED = 10.0

Progress = Callable[[int, int], None]  # done, of all


@dataclass(frozen=True)
class _Look:
    """What one picture showed: its SHA-256, "" where it could not be read, and what is wrong with it, or "".

    labels: of the classes that it has; several where it has a mask.
    """

    digest: str
    fault: str
    labels: tuple[int, ...] = ()


def check_dataset(
    dataset: Dataset, *, workers: int | None = None, progress: Progress | None = None, every_class: bool = True
) -> DataReport:
    """Decode every picture and count; a bad one raises nothing. workers: threads, by default one for each core.

    every_class: whether each class must have pictures for training. Where those of the splits differ on purpose, none
    must.
    """
    every_class = every_class and not is_disjoint(dataset)
    looks = _look_at_all(dataset.samples, workers or available_cores(), progress)
    pairs = list(zip(dataset.samples, looks, strict=True))
    classes = _count_classes(dataset, pairs)
    training = {name: sum(counts[split] for split in FOR_TRAINING) for name, counts in classes.items()}
    if not every_class:
        training = {name: count for name, count in training.items() if count}
    broken = tuple(Broken(sample.name, look.fault) for sample, look in pairs if look.fault)
    duplicates = tuple(_duplicates(dataset, pairs))
    return DataReport(
        root=dataset.root,
        layout=dataset.layout,
        splits=_count_splits(dataset.samples),
        classes={name: dict(counts) for name, counts in classes.items()},
        targets=_ranges(dataset, dataset.samples),
        broken=broken,
        duplicates=duplicates,
        few=tuple(name for name, count in training.items() if count < FEWEST),
        unbalance=_unbalance(training),
        skipped=dataset.skipped,
        problems=tuple(_problems(dataset, broken, training)),
        warnings=tuple(_warnings(dataset, duplicates, training)),
    )


def _look_at_all(samples: Sequence[Sample], workers: int, progress: Progress | None) -> list[_Look]:
    pool, looks = ThreadPoolExecutor(workers), []
    try:
        for look in pool.map(_look, samples):
            looks.append(look)
            if progress is not None:
                progress(len(looks), len(samples))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, what was not begun is left
    return looks


def _look(sample: Sample) -> _Look:
    try:
        data = sample.read()
    except OSError as error:
        return _Look("", f"cannot be read: {error.strerror or error}")
    digest = hashlib.sha256(data).hexdigest()
    try:
        picture = EncodedImage(data)
        picture.decode()
        return _Look(digest, "", _labels(sample, picture))
    except (InvalidRequestError, DataInvalidError) as error:
        return _Look(digest, error.message)


def _labels(sample: Sample, picture: EncodedImage) -> tuple[int, ...]:
    if sample.mask is None:
        return () if sample.label is None else (sample.label,)
    found = np.unique(sample.mask.load((picture.width, picture.height)))
    return tuple(int(label) for label in found if label != IGNORED)


def _count_splits(samples: Sequence[Sample]) -> dict[str, int]:
    counts = Counter(sample.split for sample in samples)
    return {split: counts[split] for split in (*SPLITS, NONE) if counts[split]}


def _count_classes(dataset: Dataset, pairs: Sequence[tuple[Sample, _Look]]) -> dict[str, Counter[str]]:
    """Pictures of each class by split; a picture that could not be read counts where its class is known."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in dataset.classes}
    for sample, look in pairs:
        for label in look.labels or (() if sample.label is None else (sample.label,)):
            counts[dataset.classes[label]][sample.split] += 1
    return counts


def _ranges(dataset: Dataset, samples: Sequence[Sample]) -> tuple[TargetRange, ...]:
    columns = zip(*(sample.targets for sample in samples), strict=True)
    return tuple(
        TargetRange(name, min(values), sum(values) / len(values), max(values))
        for name, values in zip(dataset.target_names, columns, strict=False)
    )


def _duplicates(dataset: Dataset, pairs: Sequence[tuple[Sample, _Look]]) -> Iterator[Duplicate]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample, look in pairs:
        if look.digest and not look.fault:
            groups[look.digest].append(sample)
    for group in groups.values():
        if len(group) > 1:
            names, splits = tuple(sample.name for sample in group), tuple(sample.split for sample in group)
            yield Duplicate(names, splits, tuple(_truth(dataset, sample) for sample in group))


def _truth(dataset: Dataset, sample: Sample) -> str:
    if sample.label is not None:
        return dataset.classes[sample.label]
    return " ".join(f"{value:g}" for value in sample.targets)


def _unbalance(training: Mapping[str, int]) -> float | None:
    fewest = min(training.values(), default=0)
    return max(training.values()) / fewest if fewest else None


def _problems(dataset: Dataset, broken: Sequence[Broken], training: Mapping[str, int]) -> Iterator[str]:
    for picture in broken:
        yield f"{picture.name}: {picture.reason}"
    if not dataset.of_split(*FOR_TRAINING):
        yield "no picture is for training"
        return
    for name, count in training.items():
        if not count:
            yield f"class {name!r} has no picture for training"


def _warnings(dataset: Dataset, duplicates: Sequence[Duplicate], training: Mapping[str, int]) -> Iterator[str]:
    yield from (_duplicate_text(group) for group in sorted(duplicates, key=lambda group: not group.across_splits))
    for name, count in training.items():
        if 0 < count < FEWEST:
            yield f"class {name!r} has {count} for training, which is too few: {FEWEST} is the least that makes sense"
    ratio = _unbalance(training)
    if ratio is not None and ratio > _UNBALANCED:
        yield f"the largest class has {ratio:.0f} times as many pictures for training as the smallest"
    for target in _ranges(dataset, dataset.of_split(*FOR_TRAINING)):
        if target.least == target.greatest:
            yield f"target {target.name!r} is {target.least:g} in all pictures for training"
    for name in dataset.skipped:
        yield f"{name} is left out: no picture of a class by its name and place"


def _duplicate_text(group: Duplicate) -> str:
    places = [f"{name} ({split})" if split else name for name, split in zip(group.names, group.splits, strict=True)]
    text = " = ".join(places) + ": the same picture"
    if group.across_splits:
        text += " in different splits, which flatters the result"
    if group.contradicts:
        text += f", labelled differently: {', '.join(map(repr, group.truths))}"
    return text
