"""Looks at every picture of a data set before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from trunkline.core.cpu import available_cores
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.disjoint import is_disjoint
from trunkline.training.data.flaw_layout import LAYOUT
from trunkline.training.data.look import Look, look_at
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.report import Broken, DataReport, Duplicate, TargetRange
from trunkline.training.data.splits import FOR_TRAINING, NONE, SPLITS
from trunkline.training.data.unsound import Unsound

FEWEST = 5  # pictures of a class for training, below which it is worth a warning
_UNBALANCED = 10.0
_LISTED = frozenset({"coco", "yolo"})  # layouts whose classes are a list, not what occurs

Progress = Callable[[int, int], None]  # done, of all


def check_dataset(
    dataset: Dataset,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    every_class: bool = True,
    strict: bool = False,
) -> DataReport:
    """Decode every picture and count; a bad one raises nothing. workers: threads, by default one for each core.

    every_class: whether each class must have pictures for training. Where those of the splits differ on purpose, none
    must, and of flaws none may. strict: whether remarks are problems.
    """
    return look_through(dataset, workers=workers, progress=progress, every_class=every_class, strict=strict)[0]


def look_through(
    dataset: Dataset,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    every_class: bool = True,
    strict: bool = False,
) -> tuple[DataReport, Unsound, Remarks]:
    """The same, what has to be left out of the data, and all remarks. The report is of what is left then."""
    looks = _look_at_all(dataset.samples, workers or available_cores(), progress)
    unsound, broken = Unsound(), []
    remarks = dataset.remarks.copy()
    pairs: list[tuple[Sample, Look]] = []
    for sample, look in zip(dataset.samples, looks, strict=True):
        for kind, text in look.read:
            remarks.read(kind, sample.name, text)
        for name, reason in look.lost:
            remarks.leave_out("object", Kind.OUTLINE, sample.name, f"{name}: {reason}")
            unsound.objects.add((sample.split, sample.name, name))
            broken.append(Broken(sample.name, f"{name}: {reason}"))
        if look.fault:
            remarks.leave_out("picture", look.kind, sample.name, look.fault)
            unsound.pictures.add((sample.split, sample.name))
            broken.append(Broken(sample.name, look.fault))
        else:
            pairs.append((sample, look))
    sound = replace(unsound.left_out_of(dataset), remarks=remarks)
    every_class = every_class and not is_disjoint(sound) and sound.layout != LAYOUT
    return _report(sound, pairs, broken, every_class, strict), unsound, remarks


def _report(
    dataset: Dataset, pairs: Sequence[tuple[Sample, Look]], broken: Sequence[Broken], every_class: bool, strict: bool
) -> DataReport:
    """dataset, pairs: of what is sound."""
    classes = _count_classes(dataset, pairs)
    training = {name: sum(counts[split] for split in FOR_TRAINING) for name, counts in classes.items()}
    if not every_class:
        training = {name: count for name, count in training.items() if count}
    duplicates = tuple(_duplicates(dataset, pairs))
    remarks = dataset.remarks
    rows = remarks.rows()
    return DataReport(
        root=dataset.root,
        layout=dataset.layout,
        splits=_count_splits(dataset.samples),
        classes={name: dict(counts) for name, counts in classes.items()},
        targets=_ranges(dataset, dataset.samples),
        broken=tuple(broken),
        duplicates=duplicates,
        few=tuple(name for name, count in training.items() if count < FEWEST),
        unbalance=_unbalance(training),
        skipped=dataset.skipped,
        problems=(*_problems(dataset, training), *(map(str, rows) if strict else ())),
        warnings=(*_odd(pairs), *_warnings(dataset, duplicates, training)),
        objects=_count_objects(dataset),
        remarks=rows,
        remark_counts=dict(remarks.counts),
        left_out=dict(remarks.left_out),
    )


def _look_at_all(samples: Sequence[Sample], workers: int, progress: Progress | None) -> list[Look]:
    pool, looks = ThreadPoolExecutor(workers), []
    try:
        for look in pool.map(look_at, samples):
            looks.append(look)
            if progress is not None:
                progress(len(looks), len(samples))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, what was not begun is left
    return looks


def _count_splits(samples: Sequence[Sample]) -> dict[str, int]:
    counts = Counter(sample.split for sample in samples)
    return {split: counts[split] for split in (*SPLITS, NONE) if counts[split]}


def _count_classes(dataset: Dataset, pairs: Sequence[tuple[Sample, Look]]) -> dict[str, Counter[str]]:
    """Pictures of each class by split."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in dataset.classes}
    for sample, look in pairs:
        for label in look.labels:
            counts[dataset.classes[label]][sample.split] += 1
    return counts


def _count_objects(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Objects of each class by split; {} where the data has no boxes."""
    if all(sample.objects is None for sample in dataset.samples):
        return {}
    counts: dict[str, Counter[str]] = {name: Counter() for name in dataset.classes}
    for sample in dataset.samples:
        for each in sample.objects or ():
            counts[dataset.classes[each.label]][sample.split] += 1
    return {name: dict(found) for name, found in counts.items()}


def _odd(pairs: Sequence[tuple[Sample, Look]]) -> Iterator[str]:
    return (f"{sample.name}: {warning}" for sample, look in pairs for warning in look.warnings)


def _ranges(dataset: Dataset, samples: Sequence[Sample]) -> tuple[TargetRange, ...]:
    columns = zip(*(sample.targets for sample in samples), strict=True)
    return tuple(
        TargetRange(name, min(values), sum(values) / len(values), max(values))
        for name, values in zip(dataset.target_names, columns, strict=False)
    )


def _duplicates(dataset: Dataset, pairs: Sequence[tuple[Sample, Look]]) -> Iterator[Duplicate]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample, look in pairs:
        if look.digest:
            groups[look.digest].append(sample)
    for group in groups.values():
        if len(group) > 1:
            names, splits = tuple(sample.name for sample in group), tuple(sample.split for sample in group)
            yield Duplicate(names, splits, tuple(_truth(dataset, sample) for sample in group))


def _truth(dataset: Dataset, sample: Sample) -> str:
    if sample.label is not None:
        return dataset.classes[sample.label]
    if sample.labels is not None:
        return ", ".join(dataset.classes[each] for each in sample.labels)
    return " ".join(f"{value:g}" for value in sample.targets)


def _unbalance(training: Mapping[str, int]) -> float | None:
    fewest = min(training.values(), default=0)
    return max(training.values()) / fewest if fewest else None


def _problems(dataset: Dataset, training: Mapping[str, int]) -> Iterator[str]:
    yield from dataset.faults
    if not dataset.of_split(*FOR_TRAINING):
        first = dataset.remarks.first_left_out("picture")
        yield "no picture is for training" + (f": the first that is left out is {first}" if first else "")
        return
    if not _may_lack_classes(dataset):
        # Names of classes may stand in a file; which they are is in the counts.
        places = (place for place, count in enumerate(training.values(), 1) if not count)
        yield from (f"class {place} of {len(training)} has no picture for training" for place in places)


def _may_lack_classes(dataset: Dataset) -> bool:
    """Lists of categories are often longer than what was annotated, and a net that finds things bears it."""
    return dataset.layout in _LISTED


def _empty(training: Mapping[str, int]) -> Iterator[str]:
    return (f"class {name!r} has no picture for training" for name, count in training.items() if not count)


def _warnings(dataset: Dataset, duplicates: Sequence[Duplicate], training: Mapping[str, int]) -> Iterator[str]:
    yield from (_duplicate_text(group) for group in sorted(duplicates, key=lambda group: not group.across_splits))
    yield from _empty(training) if _may_lack_classes(dataset) else ()
    for name, count in training.items():
        if 0 < count < FEWEST:
            yield f"class {name!r} has {count} for training, which is too few: {FEWEST} is the least that makes sense"
    ratio = _unbalance(training)
    if ratio is not None and ratio > _UNBALANCED:
        yield f"the largest class has {ratio:.0f} times as many pictures for training as the smallest"
    for target in _ranges(dataset, dataset.of_split(*FOR_TRAINING)):
        if target.least == target.greatest:
            yield f"target {target.name!r} is {target.least:g} in all pictures for training"


def _duplicate_text(group: Duplicate) -> str:
    places = [f"{name} ({split})" if split else name for name, split in zip(group.names, group.splits, strict=True)]
    text = " = ".join(places) + ": the same picture"
    if group.across_splits:
        text += " in different splits, which flatters the result"
    if group.contradicts:
        text += f", labelled differently: {', '.join(map(repr, group.truths))}"
    return text
