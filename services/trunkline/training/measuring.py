"""A head on the caller's data: the data by the head's own labels or targets, the answers of whoever is asked, scores.

Needs no torch for tasks that have a `measure.py`.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Known, Measure
from trunkline.core.results import Result
from trunkline.core.train_request import TrainRequest
from trunkline.heads.discovery import head_class
from trunkline.training.class_names import ClassNames
from trunkline.training.data.accept import require_none
from trunkline.training.data.check import look_through
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.read import read_dataset

Splits = str | Sequence[str] | None
Ask = Callable[[Sequence[Sample], Mapping[str, Any] | None], Sequence[Result]]


@dataclass(frozen=True)
class HeadFacts:
    """What is known of the head that is measured. units, angles: of the targets, in their order.
    settings: of its manifest; empty where they are not known."""

    name: str
    version: str
    task: str
    labels: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    angles: tuple[bool, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def measured(
    head: HeadFacts, data: Path, split: Splits, ask: Ask, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Head, version, data, count and metrics of a head on one split of the data, and how many remarks it has.

    The split is "test" by default, and all there is where the data has one split or none. What is broken in it is
    left out. ask: answers of the head about samples, with these parameters. names: what the data calls classes of
    the head, by class. Raises InvalidRequestError where its classes or targets are not those of the data,
    DataInvalidError, DataForbiddenError, and what `ask` raises.
    """
    called = ClassNames(head.name, head.task, head.labels, names or {})
    head = replace(head, labels=called.classes)
    dataset, samples = samples_of(head, data, split)
    if not samples:
        raise InvalidRequestError("there is nothing to evaluate on: the data has no picture of that split")
    # A head without classes of its own is measured on those of the data.
    measure = measure_of(head, head.labels or dataset.classes, data)
    scores = measure.scores_in(lambda asked: called.told(ask(asked, measure.params() or None)), samples, dataset)
    return {
        "head": head.name,
        "version": head.version,
        "data": dataset.root.name,
        "count": len(samples),
        "metrics": scores.metrics(),
        **({"remarks": dataset.remarks.total()} if dataset.remarks.total() else {}),
    }


def samples_of(head: HeadFacts, data: Path, split: Splits) -> tuple[Dataset, tuple[Sample, ...]]:
    """The data by the head's own labels or targets, and its samples of a split, without what is broken in these.

    Raises as `measured`.
    """
    dataset = _as_learned(head, data)
    return _sound(dataset, _chosen(dataset, split))


def measure_of(head: HeadFacts, classes: tuple[str, ...], data: Path) -> Measure:
    """How the task of a head is measured, for these classes."""
    head_class(head.task)  # where there is no such task, this says so
    module = f"trunkline.heads.{head.task}.measure"
    if find_spec(module) is None:
        return _Learned(head, classes, data)
    found: type[Measure] = importlib.import_module(module).Measure
    return found(Known(classes, head.targets, head.units, head.angles, head.settings))


class _Learned:
    """A task that has no more than a Learner, which needs torch."""

    def __init__(self, head: HeadFacts, classes: tuple[str, ...], data: Path) -> None:
        from trunkline.training.learner import learner_class

        angles = zip(head.targets, head.angles, strict=True)
        units = zip(head.targets, head.units, strict=True)
        request = TrainRequest(
            name=head.name.partition("/")[0],
            data=str(data),
            task=head.task,
            angle=tuple(name for name, is_angle in angles if is_angle),
            unit={name: unit for name, unit in units if unit},
        )
        self._learner = learner_class(head.task)(classes, head.targets, request)

    def params(self) -> dict[str, Any]:
        return self._learner.params()

    def scores_in(
        self, ask: Callable[[Sequence[Any]], Sequence[Result]], samples: Sequence[Any], dataset: Any
    ) -> Any:
        return self._learner.scores_in(ask, samples, dataset)


def _as_learned(head: HeadFacts, data: Path) -> Dataset:
    """The data with the head's own labels or targets."""
    dataset = read_dataset(data, targets=head.targets, task=head.task, options=head.settings)
    require_none(dataset.faults, str(data), head.task)
    return _relabelled(dataset, head) if not head.targets and head.labels else dataset


def _sound(dataset: Dataset, samples: tuple[Sample, ...]) -> tuple[Dataset, tuple[Sample, ...]]:
    """The data and the samples without what is broken in these."""
    _, unsound, remarks = look_through(replace(dataset, samples=samples))
    whole = replace(unsound.left_out_of(dataset), remarks=remarks)
    return whole, unsound.left_out_of(replace(dataset, samples=samples)).samples


def _chosen(dataset: Dataset, split: Splits) -> tuple[Sample, ...]:
    if split:
        return dataset.of_split(*([split] if isinstance(split, str) else split))
    splits = {sample.split for sample in dataset.samples}
    return dataset.samples if len(splits) < 2 else dataset.of_split("test")


def _relabelled(dataset: Dataset, head: HeadFacts) -> Dataset:
    """Labels of the data as indices into the head's labels, by name: the data may have fewer classes."""
    if not dataset.classes:
        raise InvalidRequestError(f"the data has no classes; head {head.name!r} answers with classes")
    index = {label: number for number, label in enumerate(head.labels)}
    unknown = next((place for place, name in enumerate(dataset.classes, 1) if name not in index), None)
    if unknown is not None:
        raise InvalidRequestError(
            f"head {head.name!r} does not know class {unknown} of the {len(dataset.classes)} of the data: "
            "trunkline data check shows them in their order; where the head calls it otherwise, --map CLASS=NAME of "
            "trunkline evaluate gives a class of the head the data's name"
        )
    labels = [index[name] for name in dataset.classes]
    return replace(dataset, classes=head.labels, samples=tuple(each.relabelled(labels) for each in dataset.samples))
