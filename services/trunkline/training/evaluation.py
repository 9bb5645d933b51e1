"""What a head is worth, through the serving path: ONNX Runtime and the head's own decode, never torch."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.core.results import Result
from trunkline.core.text import shown
from trunkline.core.train_request import TrainRequest
from trunkline.heads.discovery import head_class
from trunkline.serving.session import load_session
from trunkline.training.data.accept import require_none
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.read import read_dataset
from trunkline.training.learner import Asking, PairLearner, Scores, TaskLearner, learner_class

_LONGEST_VERSION = 18


def answers(
    head: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    samples: Sequence[Sample],
    progress: Callable[[int, int], None],
    params: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Ask the head about every sample, as the service would. params: of the requests, where they need some.

    Raises InvalidRequestError without samples, DataInvalidError that names a broken picture.
    """
    if not samples:
        raise InvalidRequestError("there is nothing to evaluate on: the data has no picture of that split")
    sessions, decoder = (load_session(backbone), load_session(head)), head_class(head.manifest.task)(head)
    wanted = [name for name in head.manifest.features if name != IMAGE]
    if params is None:
        params = {"top_k": min(5, len(head.labels))} if head.manifest.task == "classification" else {}

    def answer(sample: Sample) -> Result:
        try:
            pixels, frame = preprocess(EncodedImage(sample.encoded()), head.manifest.preprocess)
        except InvalidRequestError as error:
            raise DataInvalidError.at(sample.name, error.message) from error
        features = sessions[0].run({IMAGE: pixels}, wanted) if wanted else {}
        inputs = {name: {**features, IMAGE: pixels}[name] for name in head.manifest.features}
        return decoder.decode(sessions[1].run(inputs), frame, params)

    found = []
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            for done, result in enumerate(pool.map(answer, samples), 1):
                found.append(result)
                progress(done, len(samples))
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def evaluate_head(
    models: Path,
    name: str,
    data: Path,
    split: str | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """A head, NAME for its default version or NAME/VERSION, on one split of the data.

    The split is "test" by default, and all there is where the data has one split or none. Returns head, version,
    data, count and metrics. Raises NotFoundError for the head, InvalidRequestError where its classes or targets
    are not those of the data, DataInvalidError, DataForbiddenError, ModelInvalidError.
    """
    repository = Repository(models)
    name, version = _version(models, name)
    head = repository.head(name, version)
    backbone = repository.backbone(head.manifest.backbone.name, head.manifest.backbone.version)
    dataset, learner = _as_learned(head, data)
    samples = _chosen(dataset, split)
    scores = scored(learner, head, backbone, samples, progress, dataset)
    return {
        "head": name,
        "version": str(head.manifest.version),
        "data": dataset.root.name,
        "count": len(samples),
        "metrics": scores.metrics(),
    }


def scored(
    learner: TaskLearner,
    head: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    samples: Sequence[Sample],
    progress: Callable[[int, int], None],
    dataset: Dataset,
) -> Scores:
    """The scores of a head on these samples of a data set."""
    if isinstance(learner, PairLearner):
        return learner.scores_in(lambda asked: answers(head, backbone, asked, progress), samples, dataset)
    params = learner.params() if isinstance(learner, Asking) else None
    return learner.scores(answers(head, backbone, samples, progress, params), samples)


def _version(models: Path, head: str) -> tuple[str, int | None]:
    name, slash, version = head.partition("/")
    if not slash:
        return name, current_catalog(models, name).default or None
    if not (version.isdecimal() and len(version) <= _LONGEST_VERSION):
        raise InvalidRequestError(f"{shown(version)!r} is no version: write NAME or NAME/VERSION")
    return name, int(version)


def _as_learned(head: Bundle[HeadManifest], data: Path) -> tuple[Dataset, TaskLearner]:
    """The data with the head's own labels or targets, and the learner that scores."""
    task, name = head.manifest.task, head.manifest.name
    targets = head.manifest.settings.get("targets", [])
    names = tuple(target["name"] for target in targets)
    dataset = read_dataset(data, targets=names, task=task)
    require_none(dataset.faults, str(data), task)
    request = TrainRequest(
        name=name,
        data=str(data),
        task=task,
        angle=tuple(target["name"] for target in targets if target["kind"] == "angle"),
        unit={target["name"]: target["unit"] for target in targets if target["unit"]},
    )
    if not names and head.labels:
        dataset = _relabelled(dataset, head)
    # A head without classes of its own is measured on those of the data.
    return dataset, learner_class(task)(head.labels or dataset.classes, names, request)


def _chosen(dataset: Dataset, split: str | None) -> tuple[Sample, ...]:
    if split is not None:
        return dataset.of_split(split)
    splits = {sample.split for sample in dataset.samples}
    return dataset.samples if len(splits) < 2 else dataset.of_split("test")


def _relabelled(dataset: Dataset, head: Bundle[HeadManifest]) -> Dataset:
    """Labels of the data as indices into the head's labels, by name: the data may have fewer classes."""
    if not dataset.classes:
        raise InvalidRequestError(f"the data has no classes; head {head.manifest.name!r} answers with classes")
    index = {label: number for number, label in enumerate(head.labels)}
    unknown = next((place for place, name in enumerate(dataset.classes, 1) if name not in index), None)
    if unknown is not None:
        raise InvalidRequestError(
            f"head {head.manifest.name!r} does not know class {unknown} of the {len(dataset.classes)} of the data: "
            "trunkline data check shows them in their order"
        )
    labels = [index[name] for name in dataset.classes]
    return replace(dataset, classes=head.labels, samples=tuple(each.relabelled(labels) for each in dataset.samples))
